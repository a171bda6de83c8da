// SPDX-License-Identifier: GPL-2.0

//! The scalable-mode context table: one entry per function, which points to its PASID directory
//! (VT-d spec, 9.4).

use core::fmt;

use bitflags::bitflags;
use siov_types::{Bdf, Pasid, PhysAddr};

use crate::bits::{Field, PAGE_ADDRESS};
use crate::pasid::DirectorySize;

bitflags! {
    /// What a context entry allows a function to do.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct ContextFlags: u64 {
        /// Fault processing disable: faults found at this entry are not recorded.
        const FPD = 1 << 1;
        /// Device-TLB enable: translation requests and translated requests (ATS) are let through.
        const DTE = 1 << 2;
        /// PASID enable: requests may carry a PASID.
        const PASIDE = 1 << 3;
        /// Page request enable.
        const PRE = 1 << 4;
    }
}

/// A context entry, 32 bytes. A context table is one 4 KiB page of them, for half a bus.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct ContextEntry([u64; 4]);

impl ContextEntry {
    /// Entries in a context table.
    pub const COUNT: usize = 128;

    /// Words per entry.
    pub const WORDS: usize = 4;

    /// The word that holds the present bit. It is written last when an entry is filled in, and
    /// first when one is taken away.
    pub const PRESENT_WORD: usize = 0;

    /// Not present: requests from the function are blocked.
    pub const EMPTY: Self = Self([0; 4]);

    const P: Field = Field::bit(0);
    const PDTS: Field = Field::new(11, 9);
    const RID_PASID: Field = Field::new(19, 0);
    const RID_PRIV: Field = Field::bit(20);

    /// Present, pointing to a PASID directory, which is aligned to 4 KiB. Requests without PASID
    /// use PASID 0, and ATS, PASIDs and page requests are off.
    #[inline]
    pub const fn new(directory: PhysAddr, size: DirectorySize) -> Self {
        let low = PAGE_ADDRESS.keep(directory.raw())
            | Self::PDTS.put(size.pdts() as u64)
            | Self::P.put(1);
        Self([low, 0, 0, 0])
    }

    /// With exactly these flags.
    #[inline]
    pub const fn with_flags(self, flags: ContextFlags) -> Self {
        let [low, high, a, b] = self.0;
        Self([low & !ContextFlags::all().bits() | flags.bits(), high, a, b])
    }

    /// RID_PASID: the PASID whose entry translates requests that carry none.
    #[inline]
    pub const fn with_rid_pasid(self, pasid: Pasid) -> Self {
        let [low, high, a, b] = self.0;
        Self([low, Self::RID_PASID.set(high, pasid.raw() as u64), a, b])
    }

    /// RID_PRIV: whether requests that carry no PASID count as privileged. Only where
    /// [`rid_priv`](crate::ExtendedCapability::rid_priv) says so.
    #[inline]
    pub const fn with_rid_priv(self, privileged: bool) -> Self {
        let [low, high, a, b] = self.0;
        Self([low, Self::RID_PRIV.set(high, privileged as u64), a, b])
    }

    /// Wraps the words of a table.
    #[inline]
    pub const fn from_raw(raw: [u64; 4]) -> Self {
        Self(raw)
    }

    /// The words as they stand in the table.
    #[inline]
    pub const fn raw(self) -> [u64; 4] {
        self.0
    }

    /// Index in its context table of the entry for `bdf`.
    #[inline]
    pub const fn index(bdf: Bdf) -> usize {
        (bdf.devfn() & 0x7f) as usize
    }

    const fn low(self) -> u64 {
        let [low, ..] = self.0;
        low
    }

    const fn high(self) -> u64 {
        let [_, high, ..] = self.0;
        high
    }

    /// P.
    #[inline]
    pub const fn is_present(self) -> bool {
        Self::P.is_set(self.low())
    }

    /// What the function is allowed.
    #[inline]
    pub const fn flags(self) -> ContextFlags {
        ContextFlags::from_bits_truncate(self.low())
    }

    /// The PASID directory.
    #[inline]
    pub const fn directory(self) -> PhysAddr {
        PhysAddr::new(PAGE_ADDRESS.keep(self.low()))
    }

    /// PDTS: how large the PASID directory is.
    #[inline]
    pub const fn directory_size(self) -> DirectorySize {
        DirectorySize::from_pdts(Self::PDTS.get(self.low()) as u8)
    }

    /// RID_PASID.
    #[inline]
    pub const fn rid_pasid(self) -> Pasid {
        match Pasid::new(Self::RID_PASID.get(self.high()) as u32) {
            Some(pasid) => pasid,
            None => Pasid::NO_PASID,
        }
    }

    /// RID_PRIV.
    #[inline]
    pub const fn rid_priv(self) -> bool {
        Self::RID_PRIV.is_set(self.high())
    }
}

impl fmt::Debug for ContextEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{d:016x}:{c:016x}:{b:016x}:{a:016x}")
    }
}

impl fmt::Display for ContextEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_present() {
            return f.write_str("not present");
        }
        write!(
            f,
            "directory {} for {} PASIDs, RID_PASID {}",
            self.directory(),
            self.directory_size().pasids(),
            self.rid_pasid()
        )?;
        for (name, _) in self.flags().iter_names() {
            write!(f, " {name}")?;
        }
        if self.rid_priv() {
            f.write_str(" RID_PRIV")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;

    #[test]
    fn bits_are_where_the_specification_says() {
        let size = DirectorySize::for_pasid_bits(20).unwrap();
        let e = ContextEntry::new(PhysAddr::new(0x12_3456_7000), size);
        assert_eq!(e.raw(), [0x12_3456_7e01, 0, 0, 0]);
        let e = e
            .with_flags(ContextFlags::DTE | ContextFlags::PASIDE)
            .with_rid_pasid(Pasid::new(0xa_bcde).unwrap())
            .with_rid_priv(true);
        assert_eq!(e.raw(), [0x12_3456_7e0d, 0x1a_bcde, 0, 0]);
        assert_eq!(
            e.with_flags(ContextFlags::FPD | ContextFlags::PRE).raw(),
            [0x12_3456_7e13, 0x1a_bcde, 0, 0]
        );
        assert_eq!(
            format!("{e}"),
            "directory 0x1234567000 for 1048576 PASIDs, RID_PASID 0xabcde DTE PASIDE RID_PRIV"
        );
        assert_eq!(format!("{}", ContextEntry::EMPTY), "not present");
    }

    #[test]
    fn both_halves_start_at_zero() {
        assert_eq!(ContextEntry::index(Bdf::new(9, 0x7f)), 127);
        assert_eq!(ContextEntry::index(Bdf::new(9, 0x80)), 0);
    }

    proptest! {
        #![proptest_config(crate::proptest_config::cases(256))]
        #[test]
        fn what_goes_in_comes_out(
            table in any::<u64>(), bits in 0u8..=20, flags in 0u64..16, rid in 0u32..1 << 20, privileged: bool,
        ) {
            let size = DirectorySize::for_pasid_bits(bits).unwrap();
            let flags = ContextFlags::from_bits(flags << 1).unwrap();
            let rid = Pasid::new(rid).unwrap();
            let e = ContextEntry::new(PhysAddr::new(table), size)
                .with_rid_priv(privileged)
                .with_rid_pasid(rid)
                .with_flags(flags);
            prop_assert!(e.is_present());
            prop_assert_eq!(e.directory(), PhysAddr::new(table & !0xfff));
            prop_assert_eq!(e.directory_size(), size);
            prop_assert_eq!(e.flags(), flags);
            prop_assert_eq!(e.rid_pasid(), rid);
            prop_assert_eq!(e.rid_priv(), privileged);
            // Reserved: bits 8:5 of the first word, 63:21 of the second, all of the rest.
            let [low, high, a, b] = e.raw();
            prop_assert_eq!((low & 0x1e0, high >> 21, a, b), (0, 0, 0, 0));
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The PASID directory (VT-d spec, 9.5), and how large it is.

use siov_types::{Pasid, PhysAddr};

use crate::bits::{Field, PAGE_ADDRESS};

/// A PASID directory entry: the pointer to a PASID table of 64 entries. 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct DirectoryEntry(u64);

impl DirectoryEntry {
    const P: Field = Field::bit(0);
    const FPD: Field = Field::bit(1);

    /// No table: requests with one of its 64 PASIDs are blocked.
    pub const EMPTY: Self = Self(0);

    /// Present, pointing to a PASID table, which is one 4 KiB page.
    #[inline]
    pub const fn new(table: PhysAddr) -> Self {
        Self(PAGE_ADDRESS.keep(table.raw()) | Self::P.put(1))
    }

    /// Wraps a word of the directory.
    #[inline]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The word as it stands in the directory.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// P.
    #[inline]
    pub const fn is_present(self) -> bool {
        Self::P.is_set(self.0)
    }

    /// FPD: faults found at this entry are not recorded.
    #[inline]
    pub const fn fault_processing_disabled(self) -> bool {
        Self::FPD.is_set(self.0)
    }

    /// The PASID table; `None` when there is none.
    #[inline]
    pub const fn table(self) -> Option<PhysAddr> {
        if self.is_present() {
            Some(PhysAddr::new(PAGE_ADDRESS.keep(self.0)))
        } else {
            None
        }
    }
}

/// Size of a PASID directory: PDTS in a context entry. There are 2^(PDTS+7) entries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DirectorySize(u8);

impl DirectorySize {
    /// log2 of the entries at PDTS 0.
    const MIN_ENTRY_BITS: u8 = 7;

    /// The largest: every PASID there is.
    pub const MAX: Self = Self(7);

    /// The smallest directory for PASIDs of `bits` bits; `None` for more than the 20 bits that a
    /// PASID has.
    pub const fn for_pasid_bits(bits: u8) -> Option<Self> {
        let least = Self::MIN_ENTRY_BITS + Pasid::TABLE_BITS as u8;
        match bits {
            21.. => None,
            _ if bits <= least => Some(Self(0)),
            _ => Some(Self(bits - least)),
        }
    }

    /// From the three bits of PDTS.
    #[inline]
    pub(crate) const fn from_pdts(pdts: u8) -> Self {
        Self(pdts & 7)
    }

    /// The three bits of PDTS.
    #[inline]
    pub const fn pdts(self) -> u8 {
        self.0
    }

    /// Number of directory entries, 128 to 16384.
    #[inline]
    pub const fn entries(self) -> usize {
        1 << (self.0 + Self::MIN_ENTRY_BITS)
    }

    /// Bytes of the directory, 1 KiB to 128 KiB.
    #[inline]
    pub const fn bytes(self) -> usize {
        self.entries() * size_of::<DirectoryEntry>()
    }

    /// Number of PASIDs that the directory covers, 2^13 to 2^20.
    #[inline]
    pub const fn pasids(self) -> u32 {
        1 << (self.0 + Self::MIN_ENTRY_BITS + Pasid::TABLE_BITS as u8)
    }

    /// Whether `pasid` lies in the directory.
    #[inline]
    pub const fn covers(self, pasid: Pasid) -> bool {
        pasid.raw() < self.pasids()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        let e = DirectoryEntry::new(PhysAddr::new(0x7_7777_7000));
        assert_eq!(e.raw(), 0x7_7777_7001);
        assert_eq!(e.table(), Some(PhysAddr::new(0x7_7777_7000)));
        assert_eq!(DirectoryEntry::from_raw(0x7_7777_7002).table(), None);
        assert!(DirectoryEntry::from_raw(2).fault_processing_disabled());
    }

    #[test]
    fn sizes() {
        for (bits, pdts, entries, bytes) in [
            (0, 0, 128, 1024),
            (13, 0, 128, 1024),
            (14, 1, 256, 2048),
            (16, 3, 1024, 8192),
            (20, 7, 16384, 131_072),
        ] {
            let s = DirectorySize::for_pasid_bits(bits).unwrap();
            assert_eq!((s.pdts(), s.entries(), s.bytes()), (pdts, entries, bytes));
            assert!(s.pasids() >= 1 << bits);
            assert_eq!(s.pasids() as usize, s.entries() * 64);
        }
        assert_eq!(DirectorySize::for_pasid_bits(21), None);
        assert_eq!(DirectorySize::MAX.pasids(), Pasid::COUNT);
    }

    #[test]
    fn the_last_pasid_is_inside() {
        let s = DirectorySize::for_pasid_bits(13).unwrap();
        assert!(s.covers(Pasid::new(0x1fff).unwrap()));
        assert!(!s.covers(Pasid::new(0x2000).unwrap()));
        let last = Pasid::new(0xf_ffff).unwrap();
        assert_eq!(last.dir_index(), 0x3fff);
        assert_eq!(last.table_index(), 0x3f);
        assert_eq!(Pasid::new(0x41).unwrap().dir_index(), 1);
        assert_eq!(Pasid::new(0x41).unwrap().table_index(), 1);
    }
}

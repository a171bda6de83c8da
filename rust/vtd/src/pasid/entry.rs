// SPDX-License-Identifier: GPL-2.0

//! The PASID table entry: which translation the requests with one PASID of one function get (VT-d
//! spec, 9.6; Linux: drivers/iommu/intel/pasid.h).

use core::fmt;

use bitflags::bitflags;
use siov_types::{DomainId, PhysAddr};

use crate::bits::{Field, PAGE_ADDRESS};
use crate::width::{AddressWidth, FirstStageMode};

/// PGTT: kind of translation. The discriminant is the encoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum TranslationType {
    /// First-stage tables only.
    FirstStage = 1,
    /// Second-stage tables only.
    SecondStage = 2,
    /// First-stage tables whose output second-stage tables translate again.
    Nested = 3,
    /// The address in the request is the physical address.
    PassThrough = 4,
}

impl TranslationType {
    const fn from_encoding(raw: u8) -> Option<Self> {
        match raw {
            1 => Some(Self::FirstStage),
            2 => Some(Self::SecondStage),
            3 => Some(Self::Nested),
            4 => Some(Self::PassThrough),
            _ => None,
        }
    }
}

bitflags! {
    /// How first-stage tables are read.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct FirstStageFlags: u64 {
        /// Supervisor requests are allowed.
        const SRE = 1 << 0;
        /// Supervisor writes heed read-only entries.
        const WPE = 1 << 4;
        /// The extended accessed flag is kept.
        const EAFE = 1 << 7;
    }
}

/// A PASID table entry, 64 bytes. A PASID table is one 4 KiB page of 64 of them.
///
/// A constructed entry is present. Filling one in: words 1 to 7 first, then word
/// [`PRESENT_WORD`](Self::PRESENT_WORD). Taking one away: clear P in that word first, invalidate
/// what the unit has cached, then clear the rest (VT-d spec, 6.5.3.3).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct PasidEntry([u64; 8]);

impl PasidEntry {
    /// Entries in a PASID table.
    pub const COUNT: usize = 64;

    /// Words per entry.
    pub const WORDS: usize = 8;

    /// The word that holds the present bit.
    pub const PRESENT_WORD: usize = 0;

    /// Not present: requests are blocked.
    pub const EMPTY: Self = Self([0; 8]);

    // Word 0.
    const P: Field = Field::bit(0);
    const FPD: Field = Field::bit(1);
    const AW: Field = Field::new(4, 2);
    const PGTT: Field = Field::new(8, 6);
    const SSADE: Field = Field::bit(9);
    // Word 1.
    const DID: Field = Field::new(15, 0);
    const PWSNP: Field = Field::bit(23);
    const PGSNP: Field = Field::bit(24);
    // Word 2.
    const FSPM: Field = Field::new(3, 2);

    const fn present(pgtt: TranslationType, did: DomainId) -> Self {
        Self([
            Self::P.put(1) | Self::PGTT.put(pgtt as u64),
            Self::DID.put(did.raw() as u64),
            0,
            0,
            0,
            0,
            0,
            0,
        ])
    }

    /// No translation. `widest` is the widest second-stage table that the unit supports: it still
    /// bounds the address. Needs [`pass_through`](crate::ExtendedCapability::pass_through).
    #[inline]
    pub const fn pass_through(did: DomainId, widest: AddressWidth) -> Self {
        Self::present(TranslationType::PassThrough, did).with_word0(Self::AW, widest as u64)
    }

    /// Second-stage tables from `root`, which is aligned to 4 KiB, with an input address of
    /// `width`.
    #[inline]
    pub const fn second_stage(did: DomainId, root: PhysAddr, width: AddressWidth) -> Self {
        Self::present(TranslationType::SecondStage, did)
            .with_word0(Self::AW, width as u64)
            .with_word0(PAGE_ADDRESS, root.raw() >> 12)
    }

    /// First-stage tables from `root`, which is aligned to 4 KiB.
    ///
    /// The domain id has to differ from those of second-stage entries on the same unit: the caches
    /// do not tell the stages apart (VT-d spec, 6.2.3.1).
    ///
    /// AW is filled in as well, which hardware ignores here: QEMU 11.1 takes the width of a
    /// canonical address from it, and the kernel's C driver writes it too.
    #[inline]
    pub const fn first_stage(did: DomainId, root: PhysAddr, mode: FirstStageMode) -> Self {
        let width = match mode {
            FirstStageMode::FourLevel => AddressWidth::Bits48,
            FirstStageMode::FiveLevel => AddressWidth::Bits57,
        };
        let mut raw = Self::present(TranslationType::FirstStage, did)
            .with_word0(Self::AW, width as u64)
            .0;
        raw[2] = PAGE_ADDRESS.keep(root.raw()) | Self::FSPM.put(mode as u64);
        Self(raw)
    }

    const fn with_word0(self, field: Field, value: u64) -> Self {
        let mut raw = self.0;
        raw[0] = field.set(raw[0], value);
        Self(raw)
    }

    const fn with_word1(self, field: Field, value: u64) -> Self {
        let mut raw = self.0;
        raw[1] = field.set(raw[1], value);
        Self(raw)
    }

    /// PWSNP: the unit reads the page tables through the processor's caches. Needs
    /// [`page_walk_coherent`](crate::ExtendedCapability::page_walk_coherent).
    #[inline]
    pub const fn with_page_walk_snoop(self, on: bool) -> Self {
        self.with_word1(Self::PWSNP, on as u64)
    }

    /// PGSNP: all requests are coherent, whatever their no-snoop attribute says. Needs
    /// [`snoop_control`](crate::ExtendedCapability::snoop_control).
    #[inline]
    pub const fn with_page_snoop(self, on: bool) -> Self {
        self.with_word1(Self::PGSNP, on as u64)
    }

    /// SSADE: the unit keeps accessed and dirty flags in second-stage entries. Needs
    /// [`second_stage_accessed_dirty`](crate::ExtendedCapability::second_stage_accessed_dirty).
    #[inline]
    pub const fn with_second_stage_accessed_dirty(self, on: bool) -> Self {
        self.with_word0(Self::SSADE, on as u64)
    }

    /// FPD: faults found at or below this entry are not recorded.
    #[inline]
    pub const fn with_fault_processing_disabled(self, on: bool) -> Self {
        self.with_word0(Self::FPD, on as u64)
    }

    /// With exactly these first-stage flags.
    #[inline]
    pub const fn with_first_stage_flags(self, flags: FirstStageFlags) -> Self {
        let mut raw = self.0;
        raw[2] = (raw[2] & !FirstStageFlags::all().bits()) | flags.bits();
        Self(raw)
    }

    /// This entry with P clear and all else kept: the first step of taking it away.
    #[inline]
    pub const fn without_present(self) -> Self {
        self.with_word0(Self::P, 0)
    }

    /// Wraps the words of a table.
    #[inline]
    pub const fn from_raw(raw: [u64; 8]) -> Self {
        Self(raw)
    }

    /// The words as they stand in the table.
    #[inline]
    pub const fn raw(self) -> [u64; 8] {
        self.0
    }

    /// P.
    #[inline]
    pub const fn is_present(self) -> bool {
        Self::P.is_set(self.0[0])
    }

    /// FPD.
    #[inline]
    pub const fn fault_processing_disabled(self) -> bool {
        Self::FPD.is_set(self.0[0])
    }

    /// PGTT; `None` for a reserved encoding.
    #[inline]
    pub const fn translation_type(self) -> Option<TranslationType> {
        TranslationType::from_encoding(Self::PGTT.get(self.0[0]) as u8)
    }

    /// AW; `None` for a reserved encoding. Meaningless for first-stage entries.
    #[inline]
    pub const fn address_width(self) -> Option<AddressWidth> {
        AddressWidth::from_encoding(Self::AW.get(self.0[0]) as u8)
    }

    /// SSADE.
    #[inline]
    pub const fn second_stage_accessed_dirty(self) -> bool {
        Self::SSADE.is_set(self.0[0])
    }

    /// SSPTPTR: root of the second-stage tables.
    #[inline]
    pub const fn second_stage_root(self) -> PhysAddr {
        PhysAddr::new(PAGE_ADDRESS.keep(self.0[0]))
    }

    /// DID: the tag of this translation in the unit's caches.
    #[inline]
    pub const fn domain_id(self) -> DomainId {
        DomainId::new(Self::DID.get(self.0[1]) as u16)
    }

    /// PWSNP.
    #[inline]
    pub const fn page_walk_snoop(self) -> bool {
        Self::PWSNP.is_set(self.0[1])
    }

    /// PGSNP.
    #[inline]
    pub const fn page_snoop(self) -> bool {
        Self::PGSNP.is_set(self.0[1])
    }

    /// FSPM; `None` for a reserved encoding.
    #[inline]
    pub const fn first_stage_mode(self) -> Option<FirstStageMode> {
        FirstStageMode::from_encoding(Self::FSPM.get(self.0[2]) as u8)
    }

    /// FSPTPTR: root of the first-stage tables.
    #[inline]
    pub const fn first_stage_root(self) -> PhysAddr {
        PhysAddr::new(PAGE_ADDRESS.keep(self.0[2]))
    }

    /// How first-stage tables are read.
    #[inline]
    pub const fn first_stage_flags(self) -> FirstStageFlags {
        FirstStageFlags::from_bits_truncate(self.0[2])
    }
}

impl fmt::Debug for PasidEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, ..] = self.0;
        write!(f, "{c:016x}:{b:016x}:{a:016x}")
    }
}

impl PasidEntry {
    fn fmt_first_stage(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "first-stage {}", self.first_stage_root())?;
        match self.first_stage_mode() {
            Some(mode) => write!(f, " {} levels", mode.levels())?,
            None => f.write_str(" reserved mode")?,
        }
        for (name, _) in self.first_stage_flags().iter_names() {
            write!(f, " {name}")?;
        }
        Ok(())
    }

    fn fmt_width(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address_width() {
            Some(width) => write!(f, " {} bits", width.bits()),
            None => f.write_str(" reserved width"),
        }
    }

    fn fmt_second_stage(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "second-stage {}", self.second_stage_root())?;
        self.fmt_width(f)?;
        if self.second_stage_accessed_dirty() {
            f.write_str(" SSADE")?;
        }
        Ok(())
    }
}

impl fmt::Display for PasidEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_present() {
            f.write_str("not present")?;
        } else {
            write!(f, "did {} ", self.domain_id().raw())?;
            match self.translation_type() {
                Some(TranslationType::PassThrough) => {
                    f.write_str("pass-through")?;
                    self.fmt_width(f)?;
                }
                Some(TranslationType::SecondStage) => self.fmt_second_stage(f)?,
                Some(TranslationType::FirstStage) => self.fmt_first_stage(f)?,
                Some(TranslationType::Nested) => {
                    self.fmt_first_stage(f)?;
                    f.write_str(" nested on ")?;
                    self.fmt_second_stage(f)?;
                }
                None => f.write_str("reserved translation type")?,
            }
            if self.page_walk_snoop() {
                f.write_str(" PWSNP")?;
            }
            if self.page_snoop() {
                f.write_str(" PGSNP")?;
            }
        }
        if self.fault_processing_disabled() {
            f.write_str(" FPD")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;

    const DID: DomainId = DomainId::new(0x1234);

    #[test]
    fn pass_through() {
        let e = PasidEntry::pass_through(DID, AddressWidth::Bits48);
        // P, AW=010b, PGTT=100b.
        assert_eq!(e.raw(), [0x109, 0x1234, 0, 0, 0, 0, 0, 0]);
        assert_eq!(format!("{e}"), "did 4660 pass-through 48 bits");
        let e = e.with_page_walk_snoop(true);
        assert_eq!(e.raw(), [0x109, 0x80_1234, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn second_stage() {
        let root = PhysAddr::new(0x000f_edcb_a987_6000);
        let e = PasidEntry::second_stage(DID, root, AddressWidth::Bits57)
            .with_page_snoop(true)
            .with_second_stage_accessed_dirty(true)
            .with_fault_processing_disabled(true);
        // P, FPD, AW=011b, PGTT=010b, SSADE.
        assert_eq!(
            e.raw(),
            [0x000f_edcb_a987_628f, 0x100_1234, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            format!("{e}"),
            "did 4660 second-stage 0xfedcba9876000 57 bits SSADE PGSNP FPD"
        );
        let gone = e.without_present().with_fault_processing_disabled(false);
        assert_eq!(gone.raw()[0], 0x000f_edcb_a987_628c);
        assert_eq!(format!("{gone}"), "not present");
    }

    #[test]
    fn first_stage() {
        let root = PhysAddr::new(0xabc_d000);
        let e = PasidEntry::first_stage(DID, root, FirstStageMode::FiveLevel)
            .with_first_stage_flags(FirstStageFlags::SRE | FirstStageFlags::WPE);
        assert_eq!(e.raw(), [0x4d, 0x1234, 0xabc_d015, 0, 0, 0, 0, 0]);
        assert_eq!(
            format!("{e}"),
            "did 4660 first-stage 0xabcd000 5 levels SRE WPE"
        );
        let e = e.with_first_stage_flags(FirstStageFlags::EAFE);
        assert_eq!(e.raw()[2], 0xabc_d084);
    }

    #[test]
    fn what_others_have_written_is_told_as_it_is() {
        let nested = PasidEntry::from_raw([0xc9 | 0x5000, 3, 0x6000, 0, 0, 0, 0, 0]);
        assert_eq!(nested.translation_type(), Some(TranslationType::Nested));
        assert_eq!(
            format!("{nested}"),
            "did 3 first-stage 0x6000 4 levels nested on second-stage 0x5000 48 bits"
        );
        let odd = PasidEntry::from_raw([0x1c1, 3, 0, 0, 0, 0, 0, 0]);
        assert_eq!(format!("{odd}"), "did 3 reserved translation type");
    }

    proptest! {
        #![proptest_config(crate::proptest_config::cases(256))]
        #[test]
        fn what_goes_in_comes_out(
            did: u16, root: u64, width in 0usize..3, five: bool, flags: u8,
            pwsnp: bool, pgsnp: bool, ssade: bool, fpd: bool,
        ) {
            let did = DomainId::new(did);
            let width = AddressWidth::ALL[width];
            let table = PhysAddr::new(root & !0xfff);
            let options = |e: PasidEntry| {
                e.with_fault_processing_disabled(fpd)
                    .with_second_stage_accessed_dirty(ssade)
                    .with_page_snoop(pgsnp)
                    .with_page_walk_snoop(pwsnp)
            };
            let check = |e: PasidEntry, pgtt| {
                prop_assert!(e.is_present());
                prop_assert_eq!(e.translation_type(), Some(pgtt));
                prop_assert_eq!(e.domain_id(), did);
                prop_assert_eq!(e.fault_processing_disabled(), fpd);
                prop_assert_eq!(e.second_stage_accessed_dirty(), ssade);
                prop_assert_eq!(e.page_snoop(), pgsnp);
                prop_assert_eq!(e.page_walk_snoop(), pwsnp);
                // Reserved: bits 5 and 11:10 of word 0, 22:16 of word 1, 11:8 of word 2, words 3 to
                // 7.
                let raw = e.raw();
                prop_assert_eq!(raw[0] & 0xc20, 0);
                prop_assert_eq!(raw[1] & 0x7f_0000, 0);
                prop_assert_eq!(raw[2] & 0xf00, 0);
                prop_assert_eq!(&raw[3..], &[0; 5]);
                Ok(())
            };

            let e = options(PasidEntry::pass_through(did, width));
            check(e, TranslationType::PassThrough)?;
            prop_assert_eq!(e.address_width(), Some(width));

            let e = options(PasidEntry::second_stage(did, PhysAddr::new(root), width));
            check(e, TranslationType::SecondStage)?;
            prop_assert_eq!(e.address_width(), Some(width));
            prop_assert_eq!(e.second_stage_root(), table);

            let mode = if five { FirstStageMode::FiveLevel } else { FirstStageMode::FourLevel };
            let flags = FirstStageFlags::from_bits_truncate(flags.into());
            let e = options(PasidEntry::first_stage(did, PhysAddr::new(root), mode))
                .with_first_stage_flags(flags);
            check(e, TranslationType::FirstStage)?;
            prop_assert_eq!(e.first_stage_mode(), Some(mode));
            prop_assert_eq!(e.first_stage_root(), table);
            prop_assert_eq!(e.first_stage_flags(), flags);
        }
    }
}

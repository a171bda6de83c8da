// SPDX-License-Identifier: GPL-2.0

//! A fault recording register (VT-d spec, 11.4.14).

use core::fmt;

use siov_types::{Bdf, Iova, Pasid};

use super::reason::{FaultKind, Reason};
use crate::bits::{Field, PAGE_ADDRESS};

/// T1 and T2: what the request wanted. The discriminant is T1 in bit 1 and T2 in bit 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Access {
    /// To write.
    Write = 0b00,
    /// To have a page made present (PRI).
    PageRequest = 0b01,
    /// To read.
    Read = 0b10,
    /// To read and write in one.
    AtomicOp = 0b11,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write => "write",
            Self::PageRequest => "page request",
            Self::Read => "read",
            Self::AtomicOp => "AtomicOp",
        })
    }
}

/// AT: how far the request had come, as it says in its header (PCIe spec, 10.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum AddressType {
    /// An ordinary request.
    Untranslated = 0,
    /// The device asks for a translation to keep in its TLB.
    TranslationRequest = 1,
    /// The device uses a translation from its TLB.
    Translated = 2,
}

/// A fault recording register: 128 bits, low quadword first.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct FaultRecord([u64; 2]);

impl FaultRecord {
    /// Bytes of a fault recording register.
    pub const BYTES: usize = size_of::<Self>();

    /// Offset of the doubleword that holds F, from the start of the register.
    pub const CLEAR_OFFSET: usize = 12;

    /// What to write to that doubleword to clear F, and so to free the register.
    pub const CLEAR: u32 = 1 << 31;

    // Low quadword.
    const INTERRUPT_INDEX: Field = Field::new(63, 48);
    // High quadword: subtract 64 from the specification's bit numbers.
    const SID: Field = Field::new(15, 0);
    const T2: Field = Field::bit(28);
    const PRIV: Field = Field::bit(29);
    const EXE: Field = Field::bit(30);
    const PP: Field = Field::bit(31);
    const FR: Field = Field::new(39, 32);
    const PV: Field = Field::new(59, 40);
    const AT: Field = Field::new(61, 60);
    const T1: Field = Field::bit(62);
    const F: Field = Field::bit(63);

    /// Wraps the two quadwords, low one first.
    #[inline]
    pub const fn from_raw(raw: [u64; 2]) -> Self {
        Self(raw)
    }

    /// The two quadwords, low one first.
    #[inline]
    pub const fn raw(self) -> [u64; 2] {
        self.0
    }

    #[inline]
    const fn low(self) -> u64 {
        let [low, _] = self.0;
        low
    }

    #[inline]
    const fn high(self) -> u64 {
        let [_, high] = self.0;
        high
    }

    /// F: whether the register holds a fault. All else is meaningless without it.
    #[inline]
    pub const fn is_fault(self) -> bool {
        Self::F.is_set(self.high())
    }

    /// SID: the function that sent the request.
    #[inline]
    pub const fn source(self) -> Bdf {
        Bdf::from_raw(Self::SID.get(self.high()) as u16)
    }

    /// FR: why the request was blocked.
    #[inline]
    pub const fn reason(self) -> Reason {
        Reason::from_raw(Self::FR.get(self.high()) as u8)
    }

    /// PV: the PASID in the request; `None` (PP clear) when it carried none, or when the fault came
    /// before the unit looked at it.
    #[inline]
    pub const fn pasid(self) -> Option<Pasid> {
        if Self::PP.is_set(self.high()) {
            Pasid::new(Self::PV.get(self.high()) as u32)
        } else {
            None
        }
    }

    /// FI: the page of the address in the request. Meaningless for interrupts.
    #[inline]
    pub const fn page(self) -> Iova {
        Iova::new(PAGE_ADDRESS.keep(self.low()))
    }

    /// FI: the index of the interrupt remapping entry, for faults of [`FaultKind::Interrupt`].
    #[inline]
    pub const fn interrupt_index(self) -> u16 {
        Self::INTERRUPT_INDEX.get(self.low()) as u16
    }

    /// T1 and T2. Units older than version 3 of the specification tell reads from writes only.
    #[inline]
    pub const fn access(self) -> Access {
        match (Self::T1.is_set(self.high()), Self::T2.is_set(self.high())) {
            (false, false) => Access::Write,
            (false, true) => Access::PageRequest,
            (true, false) => Access::Read,
            (true, true) => Access::AtomicOp,
        }
    }

    /// AT; `None` for the reserved encoding.
    #[inline]
    pub const fn address_type(self) -> Option<AddressType> {
        match Self::AT.get(self.high()) {
            0 => Some(AddressType::Untranslated),
            1 => Some(AddressType::TranslationRequest),
            2 => Some(AddressType::Translated),
            _ => None,
        }
    }

    /// EXE: the request with PASID asked for execute permission.
    #[inline]
    pub const fn execute(self) -> bool {
        Self::EXE.is_set(self.high())
    }

    /// PRIV: the request with PASID asked for supervisor privilege.
    #[inline]
    pub const fn privileged(self) -> bool {
        Self::PRIV.is_set(self.high())
    }
}

impl fmt::Debug for FaultRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}:{:016x}", self.high(), self.low())
    }
}

/// One line: "00:04.0 PASID 0x5: write to page 0x1000: page not writable (reason 0x85)".
impl fmt::Display for FaultRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source())?;
        if let Some(pasid) = self.pasid() {
            write!(f, " PASID {pasid}")?;
            if self.execute() {
                f.write_str(" execute")?;
            }
            if self.privileged() {
                f.write_str(" privileged")?;
            }
        }
        f.write_str(": ")?;
        let reason = self.reason();
        if matches!(reason.kind(), FaultKind::Interrupt) {
            return write!(f, "interrupt index {}: {reason}", self.interrupt_index());
        }
        match self.address_type() {
            Some(AddressType::Untranslated) => {}
            Some(AddressType::TranslationRequest) => f.write_str("translation request, ")?,
            Some(AddressType::Translated) => f.write_str("translated ")?,
            None => f.write_str("reserved address type, ")?,
        }
        let access = self.access();
        let preposition = match access {
            Access::Write => "to",
            Access::Read => "of",
            Access::PageRequest => "for",
            Access::AtomicOp => "on",
        };
        write!(f, "{access} {preposition} page {}: {reason}", self.page())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn a_write_without_pasid() {
        // F, reason 0x85, source 00:04.0.
        let r = FaultRecord::from_raw([0xdead_b000, 0x8000_0085_0000_0020]);
        assert!(r.is_fault());
        assert_eq!(r.source(), Bdf::new(0, 4 << 3));
        assert_eq!(r.pasid(), None);
        assert_eq!(r.page(), Iova::new(0xdead_b000));
        assert_eq!(r.access(), Access::Write);
        assert_eq!(r.address_type(), Some(AddressType::Untranslated));
        assert_eq!(
            r.to_string(),
            "00:04.0: write to page 0xdeadb000: page not writable (reason 0x85)"
        );
        assert!(!FaultRecord::default().is_fault());
    }

    #[test]
    fn a_read_with_pasid() {
        // F, T1, PASID 0xabcde, reason 0x71, PP, EXE, PRIV, source 3a:1d.7.
        let r = FaultRecord::from_raw([0xffff_ffff_ffff_f000, 0xcabc_de71_e000_3aef]);
        assert_eq!(r.access(), Access::Read);
        assert_eq!(r.pasid(), Pasid::new(0xa_bcde));
        assert!(r.execute() && r.privileged());
        assert_eq!(
            r.to_string(),
            "3a:1d.7 PASID 0xabcde execute privileged: \
             read of page 0xfffffffffffff000: first-stage entry not present (reason 0x71)"
        );
    }

    #[test]
    fn requests_of_every_type() {
        let access = |high| FaultRecord::from_raw([0, high]).access();
        assert_eq!(access(0x4000_0000_1000_0000), Access::AtomicOp);
        assert_eq!(access(1 << 28), Access::PageRequest);
        let text = |high| FaultRecord::from_raw([0x1000, high]).to_string();
        assert_eq!(
            text(0x9000_0044_0000_0008),
            "00:01.0: translation request, write to page 0x1000: \
             translated or translation request while device-TLBs are disabled (DTE) (reason 0x44)"
        );
        assert_eq!(
            text(0xe000_0083_1000_0008),
            "00:01.0: translated AtomicOp on page 0x1000: \
             address beyond the width of the unit (reason 0x83)"
        );
        assert_eq!(
            text(0xb000_00fe_1000_0008),
            "00:01.0: reserved address type, page request for page 0x1000: \
             unknown reason (reason 0xfe)"
        );
    }

    #[test]
    fn an_interrupt() {
        let r = FaultRecord::from_raw([0x1234_0000_0000_0000, 0x8000_0022_0000_0008]);
        assert_eq!(r.interrupt_index(), 0x1234);
        assert_eq!(
            r.to_string(),
            "00:01.0: interrupt index 4660: interrupt remapping entry not present (reason 0x22)"
        );
    }

    proptest! {
        #![proptest_config(crate::proptest_config::cases(4096))]
        #[test]
        fn what_goes_in_comes_out(page: u64, sid: u16, reason: u8, pv in 0u64..1 << 20, bits in 0u64..128) {
            let bit = |n: u32| (bits >> n) & 1;
            let at = bits >> 5;
            let high = (1 << 63) | (bit(0) << 62) | (at << 60) | (pv << 40) | (u64::from(reason) << 32)
                | (bit(1) << 31) | (bit(2) << 30) | (bit(3) << 29) | (bit(4) << 28) | u64::from(sid);
            let r = FaultRecord::from_raw([page, high]);
            prop_assert!(r.is_fault());
            prop_assert_eq!(r.source().raw(), sid);
            prop_assert_eq!(r.reason().raw(), reason);
            prop_assert_eq!(r.pasid().map(|p| u64::from(p.raw())), (bit(1) != 0).then_some(pv));
            prop_assert_eq!(r.execute(), bit(2) != 0);
            prop_assert_eq!(r.privileged(), bit(3) != 0);
            prop_assert_eq!(r.access() as u64, 2 * bit(0) + bit(4));
            prop_assert_eq!(r.address_type().map_or(3, |t| t as u64), at);
            prop_assert_eq!(r.page().raw(), page & !0xfff);
            prop_assert_eq!(u64::from(r.interrupt_index()), page >> 48);
        }

        #[test]
        fn any_bits_have_words(raw: [u64; 2]) {
            let text = FaultRecord::from_raw(raw).to_string();
            prop_assert!(text.contains("reason") && !text.contains('\n'));
        }
    }
}

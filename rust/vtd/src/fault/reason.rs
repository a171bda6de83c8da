// SPDX-License-Identifier: GPL-2.0

//! Why a request was blocked: the fault reason encodings (VT-d spec, appendix A).

use core::fmt;

/// Which structure a fault was found in, and hence whose mistake it is likely to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// The root table or the register that points to it.
    Root,
    /// The context entry of the function.
    Context,
    /// The function's PASID directory.
    PasidDirectory,
    /// The PASID table entry.
    PasidTable,
    /// First-stage page tables.
    FirstStage,
    /// Second-stage page tables.
    SecondStage,
    /// The address or the permission, in page tables of either stage. What a device that goes
    /// astray runs into.
    Translation,
    /// Interrupt remapping.
    Interrupt,
    /// A reason that this crate does not know.
    Unknown,
}

/// FR: the reason of a fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Reason(u8);

impl Reason {
    /// Wraps the eight bits.
    #[inline]
    pub const fn from_raw(raw: u8) -> Self {
        Self(raw)
    }

    /// The eight bits.
    #[inline]
    pub const fn raw(self) -> u8 {
        self.0
    }

    /// Which structure the fault is about. Encodings that the specification may still assign are
    /// told by the group that it keeps them in.
    pub const fn kind(self) -> FaultKind {
        match self.0 {
            0x01 | 0x08 | 0x0a | 0x30..=0x3f => FaultKind::Root,
            0x02 | 0x03 | 0x09 | 0x0b | 0x0d | 0x40..=0x4f => FaultKind::Context,
            0x50..=0x57 => FaultKind::PasidDirectory,
            0x58..=0x5f => FaultKind::PasidTable,
            0x70..=0x77 | 0x80..=0x82 | 0x90..=0x97 => FaultKind::FirstStage,
            0x07 | 0x0c | 0x78..=0x7f | 0x84 => FaultKind::SecondStage,
            0x04..=0x06 | 0x0e | 0x83 | 0x85..=0x8f => FaultKind::Translation,
            0x20..=0x2f => FaultKind::Interrupt,
            _ => FaultKind::Unknown,
        }
    }

    /// The reason in words; `None` for one that this crate does not know.
    pub const fn description(self) -> Option<&'static str> {
        Some(match self.0 {
            // Legacy mode.
            0x01 => "root entry not present",
            0x02 => "context entry not present",
            0x03 => "invalid context entry",
            0x04 => "address beyond the width of the tables",
            0x05 => "page not writable",
            0x06 => "page not readable",
            0x07 => "page-table entry could not be read",
            0x08 => "root entry could not be read",
            0x09 => "context entry could not be read",
            0x0a => "reserved bits set in the root entry",
            0x0b => "reserved bits set in the context entry",
            0x0c => "reserved bits set in a page-table entry",
            0x0d => "translated or translation request blocked by the context entry",
            0x0e => "page maps the interrupt address range",
            // Interrupt remapping.
            0x20 => "reserved bits set in the interrupt request",
            0x21 => "interrupt index beyond the remapping table",
            0x22 => "interrupt remapping entry not present",
            0x23 => "interrupt remapping entry could not be read",
            0x24 => "reserved bits set in the interrupt remapping entry",
            0x25 => "compatibility format interrupt blocked",
            0x26 => "interrupt from a source that its remapping entry does not allow",
            0x27 => "posted interrupt descriptor could not be read",
            0x28 => "reserved bits set in the posted interrupt descriptor",
            // Root table address register.
            0x30 => "invalid root table address",
            0x31 => "request with PASID while the root table is a legacy one",
            0x32 => "page request while the root table is a legacy one",
            0x33 => "all DMA blocked by the translation table mode",
            // Scalable-mode root table.
            0x38 => "root entry could not be read",
            0x39 => "root entry not present",
            0x3a => "reserved bits set in the root entry",
            // Scalable-mode context table.
            0x40 => "context entry could not be read",
            0x41 => "context entry not present",
            0x42 => "reserved bits set in the context entry",
            0x43 => "invalid context entry",
            0x44 => "translated or translation request while device-TLBs are disabled (DTE)",
            0x45 => "request with PASID while PASIDs are disabled (PASIDE)",
            0x46 => "PASID beyond the PASID directory",
            0x47 => "page request while page requests are disabled (PRE)",
            0x48 => "invalid RID_PASID in the context entry",
            // PASID directory.
            0x50 => "PASID directory entry could not be read",
            0x51 => "PASID directory entry not present",
            0x52 => "reserved bits set in the PASID directory entry",
            // PASID table.
            0x58 => "PASID table entry could not be read",
            0x59 => "PASID table entry not present",
            0x5a => "reserved bits set in the PASID table entry",
            0x5b => "invalid PASID table entry",
            0x5c => "execute request while execute requests are disabled (ERE)",
            0x5d => "supervisor request while supervisor requests are disabled (SRE)",
            // First-stage tables.
            0x70 => "first-stage entry could not be read",
            0x71 => "first-stage entry not present",
            0x72 => "reserved bits set in a first-stage entry",
            0x73 => "first-stage root table could not be read",
            0x74 => "first-stage entry points beyond the width of the second stage",
            0x75 => "first-stage root table not readable in the second stage",
            0x76 => "first-stage table not readable in the second stage",
            0x77 => "first-stage table not writable in the second stage",
            0x90 => "first-stage accessed or dirty flag needs a write that is not snooped",
            0x91 => "first-stage accessed or dirty flag could not be set",
            // Second-stage tables.
            0x78 => "second-stage entry could not be read",
            0x79 => "second-stage entry allows neither reads nor writes",
            0x7a => "reserved bits set in a second-stage entry",
            0x7b => "second-stage root table could not be read",
            0x7c => "second-stage accessed or dirty flag needs a write that is not snooped",
            // Any stage.
            0x80 => "address not canonical",
            0x81 => "user request for a supervisor page",
            0x82 => "page not executable",
            0x83 => "address beyond the width of the unit",
            0x84 => "address beyond the width of the second-stage tables",
            0x85 => "page not writable",
            0x86 => "page not readable",
            0x87 => "page maps the interrupt address range",
            _ => return None,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.description().unwrap_or("unknown reason");
        write!(f, "{text} (reason {:#04x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::vec::Vec;

    #[test]
    fn every_reason_that_has_words_has_a_kind() {
        for raw in 0..=u8::MAX {
            let reason = Reason::from_raw(raw);
            if let Some(text) = reason.description() {
                assert_ne!(reason.kind(), FaultKind::Unknown, "{raw:#x}");
                assert!(!text.is_empty() && !text.ends_with('.'));
            }
            assert!(format!("{reason}").ends_with(&format!("(reason {raw:#04x})")));
        }
        assert_eq!(
            format!("{}", Reason::from_raw(0)),
            "unknown reason (reason 0x00)"
        );
        assert_eq!(
            format!("{}", Reason::from_raw(0x59)),
            "PASID table entry not present (reason 0x59)"
        );
    }

    #[test]
    fn the_reasons_that_linux_knows() {
        // Which encodings have a text in drivers/iommu/intel/dmar.c, there in three arrays. 0x00 is
        // "Software" there and no fault of a unit.
        let known: Vec<u8> = [
            0x01..=0x0d,
            0x20..=0x26,
            0x30..=0x32,
            0x38..=0x3a,
            0x40..=0x48,
            0x50..=0x52,
            0x58..=0x5d,
            0x70..=0x7c,
            0x80..=0x87,
            0x90..=0x90,
        ]
        .into_iter()
        .flatten()
        .collect();
        for raw in known {
            assert!(Reason::from_raw(raw).description().is_some(), "{raw:#x}");
        }
    }

    #[test]
    fn kinds() {
        for (raw, kind) in [
            (0x39, FaultKind::Root),
            (0x41, FaultKind::Context),
            (0x46, FaultKind::Context),
            (0x51, FaultKind::PasidDirectory),
            (0x59, FaultKind::PasidTable),
            (0x71, FaultKind::FirstStage),
            (0x80, FaultKind::FirstStage),
            (0x91, FaultKind::FirstStage),
            (0x78, FaultKind::SecondStage),
            (0x7d, FaultKind::SecondStage),
            (0x84, FaultKind::SecondStage),
            (0x85, FaultKind::Translation),
            (0x22, FaultKind::Interrupt),
            (0x00, FaultKind::Unknown),
            (0xff, FaultKind::Unknown),
        ] {
            assert_eq!(Reason::from_raw(raw).kind(), kind, "{raw:#x}");
        }
    }
}

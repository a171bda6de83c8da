// SPDX-License-Identifier: GPL-2.0

//! Identifiers: who sent a request, and which translation it gets.

use core::fmt;

/// A PCI segment group, as in ACPI's `_SEG` and the DMAR table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Segment(pub u16);

/// Bus, device and function of a PCI function: the requester id or, in VT-d's words, the source-id
/// (VT-d spec, 3.4.1: bus in bits 15:8, device in 7:3, function in 2:0).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bdf(u16);

impl Bdf {
    /// From the sixteen bits that travel with a request.
    #[inline]
    pub const fn from_raw(raw: u16) -> Self {
        Self(raw)
    }

    /// From a bus number and the kernel's `devfn`.
    #[inline]
    pub const fn new(bus: u8, devfn: u8) -> Self {
        Self(((bus as u16) << 8) | devfn as u16)
    }

    /// The sixteen bits that travel with a request.
    #[inline]
    pub const fn raw(self) -> u16 {
        self.0
    }

    /// Bus number.
    #[inline]
    pub const fn bus(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Device number in bits 7:3, function in 2:0.
    #[inline]
    pub const fn devfn(self) -> u8 {
        self.0 as u8
    }

    /// Device number on the bus, 0 to 31.
    #[inline]
    pub const fn device(self) -> u8 {
        self.devfn() >> 3
    }

    /// Function number of the device, 0 to 7.
    #[inline]
    pub const fn function(self) -> u8 {
        self.devfn() & 7
    }
}

impl fmt::Display for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02x}:{:02x}.{}",
            self.bus(),
            self.device(),
            self.function()
        )
    }
}

impl fmt::Debug for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A process address space id: twenty bits that tell the address spaces of one requester apart
/// (PCIe spec, 6.20).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pasid(u32);

impl Pasid {
    /// What VT-d uses for requests that carry no PASID (RID_PASID), as Linux programs it:
    /// `IOMMU_NO_PASID`.
    pub const NO_PASID: Self = Self(0);

    /// Number of PASIDs that twenty bits can tell apart.
    pub const COUNT: u32 = 1 << 20;

    /// log2 of the entries in a VT-d PASID table.
    pub const TABLE_BITS: u32 = 6;

    /// `None` for more than twenty bits.
    #[inline]
    pub const fn new(raw: u32) -> Option<Self> {
        if raw < Self::COUNT {
            Some(Self(raw))
        } else {
            None
        }
    }

    /// The twenty bits.
    #[inline]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Index of this PASID's table in a VT-d PASID directory: bits 19:6 (VT-d spec, 3.4.3).
    #[inline]
    pub const fn dir_index(self) -> usize {
        (self.0 >> Self::TABLE_BITS) as usize
    }

    /// Index of this PASID's entry in its VT-d PASID table: bits 5:0 (VT-d spec, 3.4.3).
    #[inline]
    pub const fn table_index(self) -> usize {
        (self.0 & ((1 << Self::TABLE_BITS) - 1)) as usize
    }
}

impl fmt::Display for Pasid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// The tag of a translation in one remapping unit's caches (VT-d spec, 3.4.3 and 6.2.1): entries
/// with equal ids may share cached translations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DomainId(u16);

impl DomainId {
    /// Wraps the sixteen bits.
    #[inline]
    pub const fn new(raw: u16) -> Self {
        Self(raw)
    }

    /// The sixteen bits.
    #[inline]
    pub const fn raw(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::format;

    #[test]
    fn bdf_parts() {
        let b = Bdf::new(0x3a, 0xfd);
        assert_eq!((b.bus(), b.device(), b.function()), (0x3a, 0x1f, 5));
        assert_eq!(format!("{b}"), "3a:1f.5");
        assert_eq!(Bdf::from_raw(b.raw()), b);
    }

    #[test]
    fn pasid_has_twenty_bits() {
        assert!(Pasid::new(0xf_ffff).is_some());
        assert!(Pasid::new(0x10_0000).is_none());
    }
}

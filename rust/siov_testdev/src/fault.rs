// SPDX-License-Identifier: GPL-2.0

//! The registers of an ADI's privileged page that concern a request that failed (section "Faults").

/// Why a request failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum FaultReason {
    /// The IOMMU, or whatever lies at the address, refused it.
    Blocked = 1,
    /// Bus mastering is off in configuration space.
    BusMasterOff = 2,
    /// The request was to carry a PASID, and PASID is off in configuration space.
    PasidOff = 3,
    /// The request was to carry a PASID, and no IOMMU of this machine takes one.
    PasidUnsupported = 4,
    /// The ADI has no PASID and may not send requests without one. Nothing was sent.
    UntaggedForbidden = 5,
    /// The PASID has more bits than the PASID capability offers. Nothing was sent.
    PasidTooWide = 6,
}

impl FaultReason {
    /// From the four bits of a register.
    #[inline]
    pub const fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            1 => Self::Blocked,
            2 => Self::BusMasterOff,
            3 => Self::PasidOff,
            4 => Self::PasidUnsupported,
            5 => Self::UntaggedForbidden,
            6 => Self::PasidTooWide,
            _ => return None,
        })
    }
}

/// What the request was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum FaultSource {
    /// To read a descriptor from the ring.
    Descriptor = 1,
    /// To read data.
    Source = 2,
    /// To write data, or to read the second operand of a comparison.
    Destination = 3,
    /// To write a completion record.
    Completion = 4,
}

impl FaultSource {
    /// From the four bits of a register.
    #[inline]
    pub const fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            1 => Self::Descriptor,
            2 => Self::Source,
            3 => Self::Destination,
            4 => Self::Completion,
            _ => return None,
        })
    }
}

/// Fault status register of a privileged page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct FaultStatus(u32);

impl FaultStatus {
    /// A fault is recorded. Writing 1 clears the whole register.
    pub const VALID: u32 = 1 << 0;
    /// More faults came while one was recorded.
    pub const OVERFLOW: u32 = 1 << 1;
    /// The request wanted to write.
    pub const WRITE: u32 = 1 << 2;
    /// The request carried a PASID.
    pub const TAGGED: u32 = 1 << 3;

    /// A recorded fault.
    #[inline]
    pub const fn new(reason: FaultReason, source: FaultSource, write: bool, tagged: bool) -> Self {
        let mut raw = Self::VALID | ((reason as u32) << 8) | ((source as u32) << 12);
        if write {
            raw |= Self::WRITE;
        }
        if tagged {
            raw |= Self::TAGGED;
        }
        Self(raw)
    }

    /// Wraps what the register reads as.
    #[inline]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// What the register reads as.
    #[inline]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// The same with OVERFLOW set.
    #[inline]
    pub const fn overflowed(self) -> Self {
        Self(self.0 | Self::OVERFLOW)
    }

    /// Whether a fault is recorded.
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.0 & Self::VALID != 0
    }

    /// Whether faults were lost.
    #[inline]
    pub const fn is_overflow(self) -> bool {
        self.0 & Self::OVERFLOW != 0
    }

    /// Whether the request wanted to write.
    #[inline]
    pub const fn is_write(self) -> bool {
        self.0 & Self::WRITE != 0
    }

    /// Whether the request carried a PASID.
    #[inline]
    pub const fn is_tagged(self) -> bool {
        self.0 & Self::TAGGED != 0
    }

    /// Why the request failed: bits 11:8.
    #[inline]
    pub const fn reason(self) -> Option<FaultReason> {
        FaultReason::from_raw((self.0 >> 8) & 0xf)
    }

    /// What the request was for: bits 15:12.
    #[inline]
    pub const fn source(self) -> Option<FaultSource> {
        FaultSource::from_raw((self.0 >> 12) & 0xf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_status_keeps_its_fields_apart() {
        let f = FaultStatus::new(
            FaultReason::PasidTooWide,
            FaultSource::Completion,
            true,
            false,
        );
        assert_eq!(f.raw(), 0x4605);
        assert!(f.is_valid() && f.is_write() && !f.is_tagged() && !f.is_overflow());
        let f = FaultStatus::new(FaultReason::Blocked, FaultSource::Descriptor, false, true)
            .overflowed();
        assert_eq!(f.raw(), 0x110b);
        assert_eq!(f.reason(), Some(FaultReason::Blocked));
        assert_eq!(f.source(), Some(FaultSource::Descriptor));
        assert_eq!(FaultStatus::default().reason(), None);
    }

    #[test]
    fn raw_values_come_back() {
        for raw in 0..16 {
            if let Some(reason) = FaultReason::from_raw(raw) {
                assert_eq!(reason as u32, raw);
            }
            if let Some(source) = FaultSource::from_raw(raw) {
                assert_eq!(source as u32, raw);
            }
        }
    }
}

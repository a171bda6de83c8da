// SPDX-License-Identifier: GPL-2.0

//! An ADI's privileged page in BAR 0: what decides whose memory it reaches (section "Privileged
//! page").

use bitflags::bitflags;
use siov_types::Pasid;

/// Offsets in bytes from the start of the page.
pub mod offset {
    /// [`PasidControl`](super::PasidControl). 32 bits; writable while the ADI is disabled and idle.
    pub const PASID: u64 = 0x000;
    /// [`Control`](super::Control). 32 bits.
    pub const CONTROL: u64 = 0x004;
    /// [`Command`](super::Command). 32 bits, write-only.
    pub const COMMAND: u64 = 0x008;
    /// [`Status`](super::Status). 32 bits, read-only.
    pub const STATUS: u64 = 0x00c;
    /// Nanoseconds of guest time before each step of the work queue, at most
    /// [`MAX_DELAY`](super::MAX_DELAY). 64 bits.
    pub const DELAY: u64 = 0x010;
    /// [`FaultStatus`](crate::FaultStatus): writing 1 to its VALID bit clears the record. 32 bits.
    pub const FAULT_STATUS: u64 = 0x018;
    /// PASID of the recorded fault. 32 bits, read-only.
    pub const FAULT_PASID: u64 = 0x01c;
    /// Address of the recorded fault. 64 bits, read-only.
    pub const FAULT_ADDRESS: u64 = 0x020;
    /// Faults since the ADI's reset, recorded or not; stays at its maximum. 32 bits, read-only.
    pub const FAULT_COUNT: u64 = 0x028;
    /// Descriptors finished since the ADI's reset, in whatever way. 64 bits, read-only.
    pub const COMPLETED: u64 = 0x030;
}

/// Longest delay of a step in nanoseconds; a larger value written to [`offset::DELAY`] becomes this
/// one.
pub const MAX_DELAY: u64 = 10_000_000_000;

/// PASID register: the PASID in bits 19:0, whether requests carry it in bit 31.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct PasidControl(u32);

impl PasidControl {
    const ENABLE: u32 = 1 << 31;
    const MASK: u32 = Pasid::COUNT - 1;

    /// Requests carry `pasid`, or none.
    #[inline]
    pub const fn new(pasid: Option<Pasid>) -> Self {
        match pasid {
            Some(pasid) => Self(Self::ENABLE | pasid.raw()),
            None => Self(0),
        }
    }

    /// From what is written to the register; reserved bits are dropped.
    #[inline]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw & (Self::ENABLE | Self::MASK))
    }

    /// What the register reads as.
    #[inline]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// The PASID that requests carry.
    #[inline]
    pub const fn pasid(self) -> Option<Pasid> {
        if self.0 & Self::ENABLE != 0 {
            Pasid::new(self.0 & Self::MASK)
        } else {
            None
        }
    }
}

bitflags! {
    /// ADI control register.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Control: u32 {
        /// The ADI takes work. Without it no descriptor is started; the one under way goes on.
        const ENABLE = 1 << 0;
        /// Without a PASID, the ADI may send requests without one. Otherwise they fail in the
        /// device.
        const ALLOW_UNTAGGED = 1 << 1;
    }
}

bitflags! {
    /// ADI status register.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Status: u32 {
        /// The ADI takes work.
        const ENABLED = 1 << 0;
        /// A descriptor is under way.
        const ACTIVE = 1 << 1;
        /// A drain is under way. Once it reads as 0 after [`Command::Drain`], the ADI sends no
        /// request until it is enabled again.
        const DRAINING = 1 << 2;
    }
}

/// What the command register takes; other values are ignored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Command {
    /// Clears ENABLE and lets the descriptor under way finish, its completion record included.
    /// Those that wait in the ring stay there.
    Drain = 1,
    /// Clears ENABLE and drops the descriptor under way at once: no completion record, no further
    /// request.
    Abort = 2,
    /// An abort, and both pages of the ADI back to their state after power-on.
    Reset = 3,
}

impl Command {
    /// From what is written to the register.
    #[inline]
    pub const fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            1 => Some(Self::Drain),
            2 => Some(Self::Abort),
            3 => Some(Self::Reset),
            _ => None,
        }
    }
}

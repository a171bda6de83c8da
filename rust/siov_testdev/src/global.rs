// SPDX-License-Identifier: GPL-2.0

//! The global page: the first page of BAR 0 (section "Global registers").

use bitflags::bitflags;

/// Offsets in bytes from the start of the page.
pub mod offset {
    /// [`ID`](super::ID). 32 bits, read-only.
    pub const ID: u64 = 0x000;
    /// Version of the specification: major in bits 31:16, minor in bits 15:0. 32 bits, read-only.
    pub const VERSION: u64 = 0x004;
    /// [`Capabilities`](super::Capabilities). 64 bits, read-only.
    pub const CAPABILITIES: u64 = 0x008;
    /// Number of ADIs. 32 bits, read-only.
    pub const ADI_COUNT: u64 = 0x010;
    /// [`Control`](super::Control). 32 bits.
    pub const CONTROL: u64 = 0x014;
    /// [`Status`](super::Status). 32 bits, read-only.
    pub const STATUS: u64 = 0x018;
    /// Four words of 64 bits, read-only: bit n % 64 of word n / 64 is set while ADI n holds a
    /// fault.
    pub const FAULT_PENDING: u64 = 0x020;
    /// Address of a raw access. 64 bits.
    pub const RAW_ADDRESS: u64 = 0x080;
    /// Data of a raw access. 64 bits.
    pub const RAW_DATA: u64 = 0x088;
    /// PASID of a raw access. 32 bits.
    pub const RAW_PASID: u64 = 0x090;
    /// [`RawCommand`](super::RawCommand): writing it starts a raw access. 32 bits, write-only.
    pub const RAW_COMMAND: u64 = 0x094;
    /// [`RawStatus`](super::RawStatus). 32 bits, read-only.
    pub const RAW_STATUS: u64 = 0x098;
}

/// What [`offset::ID`] reads as: "SIOV".
pub const ID: u32 = u32::from_le_bytes(*b"SIOV");

/// What [`offset::VERSION`] reads as: 1.0.
pub const VERSION: u32 = 1 << 16;

bitflags! {
    /// Capabilities register.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Capabilities: u64 {
        /// The function has an ATS capability.
        const ATS = 1 << 8;
        /// The function has a PRI capability.
        const PRI = 1 << 9;
        /// Raw accesses are offered.
        const RAW = 1 << 10;

        // The PASID width and the opcodes share the register.
        const _ = !0;
    }
}

impl Capabilities {
    /// The register of a device with so many PASID bits (0 without a PASID capability), with a bit
    /// per opcode in the high half.
    #[inline]
    pub const fn new(flags: Self, pasid_bits: u8, opcodes: u32) -> Self {
        Self::from_bits_retain(flags.bits() | pasid_bits as u64 | ((opcodes as u64) << 32))
    }

    /// PASID width in bits, 0 without a PASID capability.
    #[inline]
    pub const fn pasid_bits(self) -> u8 {
        self.bits() as u8
    }

    /// Bit n is set if the device knows opcode n.
    #[inline]
    pub const fn opcodes(self) -> u32 {
        (self.bits() >> 32) as u32
    }
}

bitflags! {
    /// Global control register.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Control: u32 {
        /// Back to the state after power-on, configuration space aside. Reads as 0.
        const RESET = 1 << 0;
        /// Faults raise the error vector.
        const ERROR_INTERRUPT = 1 << 1;
    }
}

bitflags! {
    /// Global status register.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Status: u32 {
        /// Some ADI, or a raw access, has work in flight.
        const ACTIVE = 1 << 0;
        /// Bus mastering is enabled in configuration space.
        const BUS_MASTER = 1 << 8;
        /// PASID is enabled in configuration space.
        const PASID = 1 << 9;
        /// ATS is enabled in configuration space.
        const ATS = 1 << 10;
        /// PRI is enabled in configuration space.
        const PRI = 1 << 11;
    }
}

bitflags! {
    /// Raw command register.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct RawCommand: u32 {
        /// Write [`offset::RAW_DATA`]; otherwise read into it.
        const WRITE = 1 << 8;
        /// Tag the request with [`offset::RAW_PASID`].
        const TAGGED = 1 << 9;

        // The length shares the register.
        const _ = !0;
    }
}

impl RawCommand {
    /// An access of so many bytes; the device takes 1, 2, 4 and 8.
    #[inline]
    pub const fn new(flags: Self, bytes: u8) -> Self {
        Self::from_bits_retain(flags.bits() | bytes as u32)
    }

    /// Bytes to move.
    #[inline]
    pub const fn bytes(self) -> u8 {
        self.bits() as u8
    }
}

/// Raw status register: the state in bits 3:0, the [reason](crate::FaultReason) of a failure in
/// bits 11:8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct RawStatus(u32);

impl RawStatus {
    /// No raw access since reset.
    pub const IDLE: Self = Self(0);
    /// Under way.
    pub const BUSY: Self = Self(1);
    /// Done.
    pub const DONE: Self = Self(2);

    const FAILED: u32 = 3;

    /// Failed for this reason.
    #[inline]
    pub const fn failed(reason: crate::FaultReason) -> Self {
        Self(Self::FAILED | ((reason as u32) << 8))
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

    /// Why the access failed; `None` if it did not.
    #[inline]
    pub const fn failure(self) -> Option<crate::FaultReason> {
        if self.0 & 0xf == Self::FAILED {
            crate::FaultReason::from_raw((self.0 >> 8) & 0xf)
        } else {
            None
        }
    }
}

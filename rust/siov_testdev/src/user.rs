// SPDX-License-Identifier: GPL-2.0

//! An ADI's user page in BAR 2: its work queue. Nothing in it shows or changes whose memory the ADI
//! reaches (section "User page").

use bitflags::bitflags;

/// Offsets in bytes from the start of the page.
pub mod offset {
    /// [`Status`](super::Status). 32 bits, read-only.
    pub const STATUS: u64 = 0x000;
    /// Writing any value submits the [inline descriptor](INLINE_DESCRIPTOR). 32 bits, write-only.
    pub const INLINE_DOORBELL: u64 = 0x004;
    /// Address of the descriptor ring, aligned to a descriptor. 64 bits. Writing it empties the
    /// ring and ends [`Status::HALTED`](super::Status::HALTED).
    pub const RING_BASE: u64 = 0x008;
    /// log2 of the ring's descriptors, at most [`MAX_RING_ORDER`](super::MAX_RING_ORDER). 32 bits.
    /// Writing it empties the ring.
    pub const RING_ORDER: u64 = 0x010;
    /// Index one past the last descriptor to run; writing it is the ring's doorbell. 32 bits.
    pub const RING_TAIL: u64 = 0x014;
    /// Index of the next descriptor to fetch. 32 bits, read-only.
    pub const RING_HEAD: u64 = 0x018;
    /// [`Interrupt`](super::Interrupt): which events raise the ADI's vector. 32 bits.
    pub const INTERRUPT_ENABLE: u64 = 0x020;
    /// [`Interrupt`](super::Interrupt): events since they were cleared by writing 1. 32 bits.
    pub const INTERRUPT_STATUS: u64 = 0x024;
    /// Descriptors finished since the ADI's reset, in whatever way. 64 bits, read-only.
    pub const COMPLETED: u64 = 0x028;
    /// The last [completion record](crate::Completion), whether or not it was written to memory.
    /// 32 bytes, read-only.
    pub const COMPLETION: u64 = 0x040;
    /// A [descriptor](crate::Descriptor) to submit without a ring. 64 bytes.
    pub const INLINE_DESCRIPTOR: u64 = 0x080;
}

/// Largest ring: 1024 descriptors.
pub const MAX_RING_ORDER: u32 = 10;

bitflags! {
    /// User status register.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Status: u32 {
        /// The ADI takes work. Doorbells are lost otherwise.
        const READY = 1 << 0;
        /// A descriptor is under way.
        const ACTIVE = 1 << 1;
        /// The inline descriptor waits or is under way; its doorbell is lost.
        const INLINE_BUSY = 1 << 2;
        /// A descriptor could not be fetched; the ring stands until its base is written.
        const HALTED = 1 << 3;
    }
}

bitflags! {
    /// Events of the interrupt registers.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Interrupt: u32 {
        /// A descriptor that asked for it has finished, or the ring has halted.
        const COMPLETION = 1 << 0;
    }
}

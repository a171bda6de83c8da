// SPDX-License-Identifier: GPL-2.0

//! What the queue needs of its surroundings.

use core::ops::DerefMut;

use siov_types::{Bdf, PhysAddr};

use super::{Limits, QueueErrorReason, QueueErrorRecord, Ring, State};
use crate::atomic::AtomicU64;
use crate::invalidate::Descriptor;
use crate::regs::FaultStatus;

/// The registers of the queue (VT-d spec, 11.4.7 and 11.4.9).
pub trait Registers {
    /// Writes IQT: descriptors that were written to memory before are there for the unit to see.
    fn set_tail(&self, value: u64);

    /// Reads IQH.
    fn head(&self) -> u64;

    /// Reads FSTS.
    fn fault_status(&self) -> FaultStatus;

    /// Clears these flags of FSTS, which lets the unit go on. What was written before is there for
    /// the unit to see.
    fn clear(&self, flags: FaultStatus);

    /// Reads IQERCD.
    fn error_record(&self) -> QueueErrorRecord;
}

/// Memory that the unit and the processor share.
pub trait Memory {
    /// The slots of the ring, each [`Descriptor::WORDS`] words.
    fn descriptors(&self) -> &[AtomicU64];

    /// Where waits report, in the lower half.
    fn status(&self) -> &AtomicU64;

    /// The physical address of [`Self::status`].
    fn status_address(&self) -> PhysAddr;
}

/// All that the queue needs of its surroundings.
pub trait Platform: Registers + Memory {
    /// What holds the ring's lock.
    type Guard<'a>: DerefMut<Target = Ring>
    where
        Self: 'a;

    /// How long to wait.
    const LIMITS: Limits = Limits::HARDWARE;

    /// What every submitter looks at without the lock.
    fn state(&self) -> &State;

    /// Takes the ring's lock. It may be held for as long as a call may wait, see
    /// [`CALL_MS`](super::CALL_MS).
    fn lock(&self) -> Self::Guard<'_>;

    /// Lets the processor rest between two looks at memory.
    fn relax(&self);

    /// Waits [`DELAY_US`](super::DELAY_US) microseconds, in any context.
    fn delay(&self);

    /// Something to write to the log. Called with the ring's lock held.
    fn report(&self, event: QueueEvent);
}

/// What goes to the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueEvent {
    /// Invalidation queue error.
    Iqe {
        /// The descriptor that was refused.
        descriptor: Descriptor,
        /// Why, where the unit says.
        reason: QueueErrorReason,
    },
    /// Device-TLB invalidation time-out.
    Ite {
        /// The function that did not answer; `None` where the unit does not say.
        source: Option<Bdf>,
    },
    /// Unexpected invalidation completion.
    Ice {
        /// The function that sent it; `None` where the unit does not say.
        source: Option<Bdf>,
    },
    /// The queue has stood still for too long.
    Stalled {
        /// What IQH reads as.
        head: u64,
        /// What IQT was set to.
        tail: u64,
    },
    /// The queue had stalled, and the unit has carried all out that was in it.
    Resumed,
}

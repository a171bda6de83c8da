// SPDX-License-Identifier: GPL-2.0

//! How a submitter spends its time while it waits.

use core::marker::PhantomData;

use super::platform::Platform;

/// How long to wait, in what [`Platform`] does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Looks at memory without a delay, for units that answer at once.
    pub looks: u32,
    /// Delays between two looks at registers.
    pub delays_per_check: u32,
    /// Delays while the queue stands still until it is given up.
    pub delays: u32,
    /// Delays of one call in all, whatever it finds, until the queue is given up.
    pub total: u32,
}

/// How long the queue may stand still, in milliseconds, before it is given up for the time being.
///
/// Units answer within microseconds, and devices within milliseconds. A device-TLB invalidation may
/// take up to 90 s before the unit reports a time-out (PCIe spec, 10.3.1), but nothing can wait
/// that long with interrupts off: the kernel's detector of hard lockups takes a CPU for dead that
/// has them off for 10 s (`watchdog_thresh`), that of soft lockups one that does not schedule for
/// 20 s. This is what arm-smmu-v3 allows for its command queue.
pub const STALL_MS: u32 = 1_000;

/// How long one call waits in all, in milliseconds: for its own descriptors, however often errors
/// have them repeated, for room in the ring, and for what makes up for what was lost.
///
/// Twice [`STALL_MS`], so that a queue that stands still is told from one that errors hit again and
/// again, and so that a call which waits for the ring's lock behind another one, which waits for
/// room, stays below half of what the detector of hard lockups allows.
pub const CALL_MS: u32 = 2 * STALL_MS;

/// Microseconds that [`Platform::delay`] takes.
pub const DELAY_US: u32 = 10;

const DELAYS_PER_MS: u32 = 1_000 / DELAY_US;

impl Limits {
    /// For real units. Registers take a thousand times as long as memory, so they are looked at
    /// once in a millisecond.
    pub const HARDWARE: Self = Self {
        looks: 1_000,
        delays_per_check: DELAYS_PER_MS,
        delays: STALL_MS * DELAYS_PER_MS,
        total: CALL_MS * DELAYS_PER_MS,
    };
}

const _: () = assert!(2 * CALL_MS < 5_000);

/// What a waiting submitter does next.
pub(super) enum Next {
    /// Look at memory.
    Look,
    /// Look at registers, too.
    Check,
    /// Give up.
    GiveUp,
}

/// How long a submitter still waits.
pub(super) struct Patience<P> {
    looks: u32,
    /// As long as the queue stands still.
    delays: u32,
    /// In all, of the whole call.
    total: u32,
    platform: PhantomData<fn(&P)>,
}

impl<P: Platform> Patience<P> {
    /// Of a call that has passed this many delays.
    pub(super) fn new(passed: u32) -> Self {
        let total = P::LIMITS.total.saturating_sub(passed);
        Self {
            looks: P::LIMITS.looks,
            delays: P::LIMITS.delays.min(total),
            total,
            platform: PhantomData,
        }
    }

    /// How many delays the call has passed.
    pub(super) fn passed(&self) -> u32 {
        P::LIMITS.total.saturating_sub(self.total)
    }

    /// Whether the call may not wait any longer.
    pub(super) fn is_exhausted(&self) -> bool {
        self.total == 0
    }

    /// The queue has moved.
    pub(super) fn renew(&mut self) {
        self.delays = P::LIMITS.delays.min(self.total);
    }

    /// Passes some time.
    pub(super) fn next(&mut self, platform: &P) -> Next {
        if let Some(looks) = self.looks.checked_sub(1) {
            self.looks = looks;
            platform.relax();
            return Next::Look;
        }
        let Some(delays) = self.delays.checked_sub(1) else {
            return Next::GiveUp;
        };
        self.delays = delays;
        self.total = self.total.saturating_sub(1);
        platform.delay();
        if delays % P::LIMITS.delays_per_check == 0 {
            Next::Check
        } else {
            Next::Look
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! How a submitter spends its time while it waits.

use core::marker::PhantomData;

use super::platform::Platform;
use super::TRIES;

/// How long to wait, in what [`Platform`] does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Looks at memory without a delay, for units that answer at once.
    pub looks: u32,
    /// Delays between two looks at registers.
    pub delays_per_check: u32,
    /// Delays while the queue stands still until it is given up.
    pub delays: u32,
}

/// How long the queue may stand still, in milliseconds, before it is given up for the time being.
///
/// Units answer within microseconds, and devices within milliseconds. A device-TLB invalidation may
/// take up to 90 s before the unit reports a time-out (PCIe spec, 10.3.1), but nothing can wait
/// that long with interrupts off: the kernel's detector of hard lockups takes a CPU for dead that
/// has them off for 10 s (`watchdog_thresh`), and a submission may take [`TRIES`] times as long as
/// this, all repetitions together, as may what its caller submits about an error. (Longer than that
/// takes only one that does not fit into the ring, as long as the unit makes room for it.) This is
/// what arm-smmu-v3 allows for its command queue.
pub const STALL_MS: u32 = 1_000;

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
    };
}

// Twice, for the caller's part, is well below what the detector allows.
const _: () = assert!(2 * TRIES * STALL_MS <= 6_000);

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
    /// In all.
    total: u32,
    platform: PhantomData<fn(&P)>,
}

impl<P: Platform> Patience<P> {
    pub(super) fn new() -> Self {
        Self {
            looks: P::LIMITS.looks,
            delays: P::LIMITS.delays,
            total: P::LIMITS.delays.saturating_mul(TRIES),
            platform: PhantomData,
        }
    }

    /// The queue has moved.
    pub(super) fn renew(&mut self) {
        self.looks = P::LIMITS.looks;
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

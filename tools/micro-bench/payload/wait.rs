// SPDX-License-Identifier: GPL-2.0

//! Waiting for interrupts, and whether processors let them in.

use crate::{arch, irq};
use core::sync::atomic::{AtomicBool, Ordering};
use micro_bench_model::args::Args;
use micro_bench_model::time::Frequency;

/// Whether all processors keep interrupts masked, to see what lost ones look like.
static MASK_IRQ: AtomicBool = AtomicBool::new(false);

/// Lets interrupts in on this processor, unless the arguments say otherwise.
pub fn take_interrupts() {
    if !MASK_IRQ.load(Ordering::Relaxed) {
        arch::unmask_interrupts();
    }
}

/// How long one interrupt is waited for, in ticks.
#[derive(Clone, Copy)]
pub struct Patience(u64);

impl Patience {
    /// What the arguments say, of waiting and of masking.
    pub fn new(args: &Args<'_>, clock: Frequency) -> Self {
        MASK_IRQ.store(args.mask_irq, Ordering::Relaxed);
        Self(clock.ticks_of_ms(args.timeout_ms))
    }

    /// Waits until `done`. Returns whether it came to that.
    #[inline(always)]
    pub fn wait(self, done: impl Fn() -> bool) -> bool {
        /// Looking at the clock is no part of waiting for an interrupt, which takes a few turns.
        const TURNS: u32 = 4096;
        let mut start = None;
        loop {
            for _ in 0..TURNS {
                if done() {
                    return true;
                }
                arch::relax();
            }
            let now = arch::counter();
            if now.wrapping_sub(*start.get_or_insert(now)) > self.0 {
                return false;
            }
        }
    }

    /// Does `action` and waits for the interrupt that it leads to. Returns whether it came.
    #[inline(always)]
    pub fn interrupt_after(self, action: impl FnOnce()) -> bool {
        let before = irq::received();
        action();
        self.wait(|| irq::received() != before)
    }
}

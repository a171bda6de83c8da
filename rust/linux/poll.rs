// SPDX-License-Identifier: GPL-2.0

//! Waiting for hardware in any context, for a bounded time.
//!
//! Time is counted in delays, not read from a clock, because clocks stand still while the system
//! core suspends and resumes.

use crate::bindings;

/// Rounds of looking without a delay, for hardware that answers at once.
const FAST: u32 = 1_000;

/// Waits until `done` says so, at most `ms` milliseconds; says whether it did.
pub fn wait_for(ms: u32, mut done: impl FnMut() -> bool) -> bool {
    for _ in 0..FAST {
        if done() {
            return true;
        }
        core::hint::spin_loop();
    }
    for _ in 0..u64::from(ms) * 100 {
        if done() {
            return true;
        }
        delay(10);
    }
    done()
}

/// Waits `us` microseconds without sleeping, at most 1000.
pub fn delay(us: u32) {
    // SAFETY: May be called in any context.
    unsafe { bindings::siov_helper_udelay(us.min(1_000) as usize) };
}

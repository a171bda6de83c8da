// SPDX-License-Identifier: GPL-2.0

//! What interrupt handlers tell the tests.
//!
//! One processor at a time takes interrupts, and it alone writes the counters, so that loads and
//! stores suffice where a read-modify-write would cost more and measure itself.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Interrupt that the running test waits for.
static EXPECTED: AtomicU32 = AtomicU32::new(u32::MAX);
static RECEIVED: AtomicU64 = AtomicU64::new(0);
static STRAY: AtomicU64 = AtomicU64::new(0);

/// Interrupts so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Those that the running test waits for.
    pub received: u64,
    /// Others, spurious ones included.
    pub stray: u64,
}

/// From now on `id` is the interrupt that counts as received.
pub fn expect(id: u32) {
    EXPECTED.store(id, Ordering::Release);
}

/// Called by the handler with the number of the interrupt.
pub fn record(id: u32) {
    let counter = if id == EXPECTED.load(Ordering::Relaxed) {
        &RECEIVED
    } else {
        &STRAY
    };
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Release);
}

/// Expected interrupts so far.
pub fn received() -> u64 {
    RECEIVED.load(Ordering::Acquire)
}

/// Both counters.
pub fn counts() -> Counts {
    Counts {
        received: received(),
        stray: STRAY.load(Ordering::Acquire),
    }
}

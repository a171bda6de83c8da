// SPDX-License-Identifier: GPL-2.0

//! The fault event: the interrupt that a unit raises when it has recorded a blocked request (VT-d spec, 7.3).
//!
//! A unit raises none for what comes while something is pending already. So whoever looks goes on until nothing
//! is, the interrupt handler for a bounded time and then a worker, lest a device that floods the unit keep a
//! processor.

use crate::faults::Faults;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;
use linux::irq::{Message, MessageSource};
use linux::work::{Deferred, Task};

/// The fault event of one unit.
#[pin_data(PinnedDrop)]
pub(crate) struct FaultEvent {
    faults: Arc<Faults>,
    #[pin]
    rest: Deferred<Rest>,
}

impl FaultEvent {
    pub(crate) fn new(faults: Arc<Faults>) -> impl PinInit<Self> {
        let rest = Rest {
            faults: faults.clone(),
            ending: AtomicBool::new(false),
        };
        pin_init!(Self {
            faults,
            rest <- Deferred::new(rest, c"vtd faults", kernel::static_lock_class!()),
        })
    }
}

#[pinned_drop]
impl PinnedDrop for FaultEvent {
    fn drop(self: Pin<&mut Self>) {
        // The worker is waited for next, and a flood need not end.
        self.rest.task().ending.store(true, Ordering::Relaxed);
    }
}

impl MessageSource for FaultEvent {
    fn set_message(&self, message: Message) {
        self.faults.set_message(message);
    }

    fn set_masked(&self, masked: bool) {
        self.faults.set_masked(masked);
    }

    fn handle(&self) -> bool {
        if !self.faults.report_pending() {
            self.rest.request();
        }
        // Even if the last one to look has found what it was raised for.
        true
    }
}

/// What the interrupt handler leaves.
struct Rest {
    faults: Arc<Faults>,
    ending: AtomicBool,
}

impl Task for Rest {
    fn run(&self) {
        while !self.ending.load(Ordering::Relaxed) {
            if self.faults.report_pending() {
                return;
            }
        }
    }
}

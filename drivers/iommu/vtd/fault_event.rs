// SPDX-License-Identifier: GPL-2.0

//! The fault event: the interrupt that a unit raises when it has recorded a blocked request (VT-d
//! spec, 7.3).
//!
//! A unit raises none for what is recorded while something is pending already. So records are read
//! until nothing is pending, by the interrupt handler for a bounded time and then by a worker, lest
//! a device that floods the unit keep a processor busy.

use crate::fault_report::FaultReport;
use crate::faults::Faults;
use crate::unit::Unit;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::Arc;
use linux::irq::{Message, MessageInterrupt, MessageSource};
use linux::work::{Deferred, Task};

/// The interrupt of one unit. Dropping this masks it, and waits for faults that are being reported.
pub(crate) struct FaultInterrupt(MessageInterrupt<FaultEvent>);

impl FaultInterrupt {
    /// Has faults of `unit` reported from now on.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENOSPC` without a vector.
    pub(crate) fn new(unit: &Unit) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("{}", unit.name()))?;
        let report = FaultReport::new(name, unit.devices().clone());
        let report = Arc::pin_init(report, GFP_KERNEL)?;
        let event = FaultEvent::new(unit.faults().clone(), report)?;
        Ok(Self(MessageInterrupt::new(event, c"vtd-fault")?))
    }

    /// Programs the unit again, after it has lost its registers.
    pub(crate) fn restore(&self) {
        self.0.restore();
    }
}

/// The fault event of one unit.
#[pin_data]
struct FaultEvent {
    reader: Arc<Reader>,
    // Dropped before `rest`, which waits for the worker: a flood need not end.
    _ending: SetWhenDropped,
    #[pin]
    rest: Deferred<Rest>,
}

/// Set when this is dropped.
struct SetWhenDropped(Arc<AtomicBool>);

impl Drop for SetWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads and reports faults.
struct Reader {
    faults: Arc<Faults>,
    report: Arc<FaultReport>,
}

impl Reader {
    /// Whether nothing is pending any more.
    fn read(&self) -> bool {
        self.faults.take_pending(|found| self.report.report(found))
    }
}

impl FaultEvent {
    fn new(faults: Arc<Faults>, report: Arc<FaultReport>) -> Result<Arc<Self>> {
        let reader = Arc::new(Reader { faults, report }, GFP_KERNEL)?;
        let ending = Arc::new(AtomicBool::new(false), GFP_KERNEL)?;
        let rest = Rest {
            reader: reader.clone(),
            ending: ending.clone(),
        };
        Arc::pin_init(
            pin_init!(Self {
                reader,
                _ending: SetWhenDropped(ending),
                rest <- Deferred::new(rest, c"vtd faults", kernel::static_lock_class!()),
            }),
            GFP_KERNEL,
        )
    }
}

impl MessageSource for FaultEvent {
    fn set_message(&self, message: Message) {
        self.reader.faults.set_message(message);
    }

    fn set_masked(&self, masked: bool) {
        self.reader.faults.set_masked(masked);
    }

    fn handle(&self) -> bool {
        if !self.reader.read() {
            self.rest.request();
        }
        // Even if the reader before has found what it was raised for.
        true
    }
}

/// What the interrupt handler leaves to the worker.
struct Rest {
    reader: Arc<Reader>,
    ending: Arc<AtomicBool>,
}

impl Task for Rest {
    fn run(&self) {
        while !self.ending.load(Ordering::Relaxed) {
            if self.reader.read() {
                return;
            }
        }
    }
}

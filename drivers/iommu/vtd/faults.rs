// SPDX-License-Identifier: GPL-2.0

//! The fault recording registers of a unit (VT-d spec, chapter 7).
//!
//! Lock order: [`Faults::reading`] is taken in interrupt context, outside of all other spinlocks of
//! the driver, and held while faults are reported.

use crate::registers::Registers;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;
use linux::irq::Message;
use linux::new_raw_spinlock;
use linux::sync::RawSpinLock;
use siov_vtd::fault::FaultRecord;
use siov_vtd::regs::{EventControl, FaultStatus, Reg32};
use siov_vtd::Capability;

/// What was found in the registers.
pub(crate) enum Found {
    /// A blocked request.
    Record(FaultRecord),
    /// Requests were blocked while all recording registers were in use (FSTS.PFO).
    Overflow,
}

/// Faults of one unit.
#[pin_data]
pub(crate) struct Faults {
    regs: Arc<Registers>,
    cap: Capability,
    /// Held by the one who reads records, until they are reported.
    #[pin]
    reading: RawSpinLock<()>,
    total: AtomicU64,
    overflows: AtomicU64,
}

impl Faults {
    /// The faults of the unit with these registers.
    pub(crate) fn new(regs: Arc<Registers>, cap: Capability) -> impl PinInit<Self> {
        pin_init!(Self {
            regs,
            cap,
            reading <- new_raw_spinlock!((), "vtd fault records"),
            total: AtomicU64::new(0),
            overflows: AtomicU64::new(0),
        })
    }

    /// Faults recorded since the unit was brought up.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Times that faults were lost because all recording registers were in use.
    pub(crate) fn overflows(&self) -> u64 {
        self.overflows.load(Ordering::Relaxed)
    }

    /// Clears what was recorded before this driver took over.
    pub(crate) fn clear(&self) {
        for index in 0..self.cap.fault_records() {
            if let Some(offset) = self.cap.fault_record_offset(index) {
                self.regs
                    .write32_at(offset + FaultRecord::CLEAR_OFFSET, FaultRecord::CLEAR);
            }
        }
        self.regs.write32(Reg32::Fsts, FaultStatus::PFO.bits());
    }

    fn status(&self) -> FaultStatus {
        FaultStatus::from_bits_retain(self.regs.read32(Reg32::Fsts))
    }

    /// Where the unit's interrupt goes.
    pub(crate) fn set_message(&self, message: Message) {
        self.regs.write32(Reg32::Fedata, message.data);
        self.regs.write32(Reg32::Feaddr, message.address_low);
        self.regs.write32(Reg32::Feuaddr, message.address_high);
    }

    /// Masks or unmasks the unit's interrupt.
    pub(crate) fn set_masked(&self, masked: bool) {
        let mut control = EventControl::empty();
        control.set(EventControl::IM, masked);
        self.regs.write32(Reg32::Fectl, control.bits());
        // The read makes sure that the write has arrived.
        self.regs.read32(Reg32::Fectl);
    }

    /// Passes what is recorded, and what is recorded meanwhile, to `report`, for a bounded time.
    /// Returns whether nothing is pending any more; otherwise no interrupt will come for it.
    pub(crate) fn take_pending(&self, mut report: impl FnMut(Found)) -> bool {
        const ROUNDS: u32 = 16;
        let _reading = self.reading.lock();
        for _ in 0..ROUNDS {
            let status = self.status();
            // A unit that has been removed reads as all ones, and has recorded nothing.
            let removed = status.bits() == u32::MAX;
            if removed || !status.intersects(FaultStatus::PPF | FaultStatus::PFO) {
                return true;
            }
            self.take_records(status, &mut report);
        }
        false
    }

    /// Waits until faults that have been taken are reported.
    pub(crate) fn wait_for_reports(&self) {
        drop(self.reading.lock());
    }

    /// One round over the ring of records, from the oldest on.
    fn take_records(&self, status: FaultStatus, report: &mut impl FnMut(Found)) {
        let records = self.cap.fault_records();
        let first = usize::from(status.first_record());
        for index in (first..).take(records) {
            let Some(offset) = self.cap.fault_record_offset(index % records) else {
                break;
            };
            let record = FaultRecord::from_raw([
                self.regs.read64_at(offset),
                self.regs.read64_at(offset + size_of::<u64>()),
            ]);
            if !record.is_fault() {
                break;
            }
            // First, so that what comes while this one is reported finds room.
            self.regs
                .write32_at(offset + FaultRecord::CLEAR_OFFSET, FaultRecord::CLEAR);
            self.total.fetch_add(1, Ordering::Relaxed);
            report(Found::Record(record));
        }
        if status.contains(FaultStatus::PFO) {
            self.overflows.fetch_add(1, Ordering::Relaxed);
            report(Found::Overflow);
            self.regs.write32(Reg32::Fsts, FaultStatus::PFO.bits());
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The fault recording registers of a unit (VT-d spec, chapter 7).
//!
//! Lock order: [`Faults::reading`] is taken in interrupt context, and held while registers are
//! read. What they said is reported without it, in an RCU read-side critical section.

use crate::registers::Registers;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;
use kernel::sync::{rcu, Arc};
use linux::irq::Message;
use linux::new_raw_spinlock;
use linux::sync::{wait_for_rcu_readers, RawSpinLock};
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
    /// The recording register that hardware fills after those that have been read.
    #[pin]
    reading: RawSpinLock<usize>,
    total: AtomicU64,
    overflows: AtomicU64,
}

impl Faults {
    /// The faults of the unit with these registers.
    pub(crate) fn new(regs: Arc<Registers>, cap: Capability) -> impl PinInit<Self> {
        pin_init!(Self {
            regs,
            cap,
            reading <- new_raw_spinlock!(0, "vtd fault records"),
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
        // As many as the largest unit has registers (VT-d spec, 11.4.2, CAP.NFR).
        const MOST: u32 = 256;
        // For `wait_for_reports`.
        let _reporting = rcu::read_lock();
        for _ in 0..MOST {
            match self.take() {
                Some(found) => report(found),
                None => return true,
            }
        }
        false
    }

    /// Waits until faults that have been taken are reported.
    pub(crate) fn wait_for_reports(&self) {
        wait_for_rcu_readers();
    }

    /// Takes the oldest of what is recorded out of the registers. `None` when nothing is, whatever
    /// the unit's status says.
    fn take(&self) -> Option<Found> {
        let mut next = self.reading.lock();
        let status = self.status();
        // A unit that has been removed reads as all ones, and has recorded nothing.
        let removed = status.bits() == u32::MAX;
        if removed || !status.intersects(FaultStatus::PPF | FaultStatus::PFO) {
            return None;
        }
        let records = self.cap.fault_records();
        // The status has the first that was recorded after none was pending; it does not follow
        // those that are cleared.
        let first = usize::from(status.first_record());
        let all = (first..).take(records).map(|index| index % records);
        for index in Iterator::chain(core::iter::once(*next), all) {
            let Some(offset) = self.cap.fault_record_offset(index) else {
                continue;
            };
            let record = FaultRecord::from_raw([
                self.regs.read64_at(offset),
                self.regs.read64_at(offset + size_of::<u64>()),
            ]);
            if record.is_fault() {
                // Before it is reported, so that what comes meanwhile finds room.
                self.regs
                    .write32_at(offset + FaultRecord::CLEAR_OFFSET, FaultRecord::CLEAR);
                *next = (index + 1) % records;
                self.total.fetch_add(1, Ordering::Relaxed);
                return Some(Found::Record(record));
            }
        }
        if status.contains(FaultStatus::PFO) {
            self.regs.write32(Reg32::Fsts, FaultStatus::PFO.bits());
            self.overflows.fetch_add(1, Ordering::Relaxed);
            return Some(Found::Overflow);
        }
        None
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Blocked requests: what the records say, and whom it concerns (VT-d spec, chapter 7).
//!
//! Locks, both taken in interrupt context: `reading`, then `devices`.

use crate::device::Device;
use crate::registers::Registers;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::Arc;
use linux::iommu::{DmaFault, FaultAccess, RawDmaFault};
use linux::irq::Message;
use linux::new_spinlock_irq;
use linux::ratelimit::RateLimit;
use linux::sync::SpinLockIrq;
use linux::Show;
use siov_types::Bdf;
use siov_vtd::fault::{Access, FaultRecord};
use siov_vtd::regs::{EventControl, FaultStatus, Reg32};
use siov_vtd::Capability;

// SAFETY: Defined in exports.c with this signature, for any context.
#[allow(improper_ctypes)] // Only a pointer to the C structure passes.
unsafe extern "C" {
    safe fn vtd_tell_fault(fault: &RawDmaFault);
}

/// Tells those outside of this driver who asked for it.
fn tell(device: &Device, record: &FaultRecord) {
    let mut access = FaultAccess::empty();
    access.set(FaultAccess::WRITE, record.access() != Access::Read);
    access.set(FaultAccess::EXEC, record.execute());
    access.set(FaultAccess::PRIV, record.privileged());
    let fault = DmaFault {
        dev: device.pci().as_dev().into(),
        pasid: record.pasid(),
        page: record.page(),
        access,
        reason: record.reason().raw().into(),
    };
    fault.with_raw(|raw| {
        vtd_tell_fault(raw);
    });
}

/// Faults of one unit.
#[pin_data]
pub(crate) struct Faults {
    regs: Arc<Registers>,
    cap: Capability,
    unit: CString,
    #[pin]
    limit: RateLimit,
    /// Held by whoever reads records.
    #[pin]
    reading: SpinLockIrq<()>,
    /// Who sends requests through this unit.
    #[pin]
    devices: SpinLockIrq<KVec<Arc<Device>>>,
    total: AtomicU64,
    lost: AtomicU64,
}

impl Faults {
    /// The faults of the unit with these registers.
    pub(crate) fn new(
        regs: Arc<Registers>,
        cap: Capability,
        unit: CString,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            regs,
            cap,
            unit,
            limit <- RateLimit::new(5, 10, c"vtd blocked requests"),
            reading <- new_spinlock_irq!((), "vtd fault records"),
            devices <- new_spinlock_irq!(KVec::new(), "vtd devices"),
            total: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        })
    }

    /// From now on, faults of `device` are counted there. Calls are serialised by the probing of
    /// devices.
    pub(crate) fn add(&self, device: &Arc<Device>) -> Result {
        linux::vec::reserve(&self.devices, |v| v)?;
        self.devices
            .lock()
            .push_within_capacity(device.clone())
            .map_err(|_| ENOMEM)?;
        Ok(())
    }

    /// Ends what [`Self::add`] began.
    pub(crate) fn remove(&self, device: &Arc<Device>) {
        let gone = {
            let mut devices = self.devices.lock();
            let at = devices.iter().position(|d| Arc::ptr_eq(d, device));
            at.and_then(|at| devices.remove(at).ok())
        };
        // Dropped outside of the lock.
        drop(gone);
    }

    /// The device with this requester id; one that merely shares it, as those below a conventional
    /// bridge do, only when no device has it for its own.
    pub(crate) fn find(&self, bdf: Bdf) -> Option<Arc<Device>> {
        self.with_device(bdf, |device| device.cloned())
    }

    /// Calls `f` with what [`Self::find`] finds, without taking a reference: in interrupt context
    /// it must not become the last one.
    fn with_device<R>(&self, bdf: Bdf, f: impl FnOnce(Option<&Arc<Device>>) -> R) -> R {
        let devices = self.devices.lock();
        let owner = devices.iter().find(|d| d.bdf() == bdf);
        f(owner.or_else(|| devices.iter().find(|d| d.aliases().contains(&bdf))))
    }

    /// Calls `f` for each device.
    pub(crate) fn for_each_device(&self, mut f: impl FnMut(&Arc<Device>)) {
        let mut at = 0;
        // The lock is not held while `f` runs, which may sleep.
        while let Some(device) = {
            let devices = self.devices.lock();
            devices.get(at).cloned()
        } {
            f(&device);
            at += 1;
        }
    }

    /// Faults recorded since the unit was brought up.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Times faults were lost because all recording registers were in use.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Forgets what happened before this driver took over.
    pub(crate) fn clear(&self) {
        for index in 0..self.cap.fault_records() {
            if let Some(offset) = self.cap.fault_record_offset(index) {
                self.regs
                    .write32_at(offset + FaultRecord::CLEAR_OFFSET, FaultRecord::CLEAR);
            }
        }
        self.regs.write32(Reg32::Fsts, FaultStatus::PFO.bits());
    }

    fn report(&self, record: FaultRecord) {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.with_device(record.source(), |device| {
            if let Some(device) = device {
                device.count_fault();
                tell(device, &record);
            }
            if !self.limit.allows() {
                return;
            }
            match device {
                Some(device) => dev_err!(device.pci().as_dev(), "vtd fault: {}\n", Show(record)),
                None => pr_err!("{}: vtd fault: {}\n", &*self.unit, Show(record)),
            }
        });
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

    /// Holds the unit's interrupt back, or lets it through.
    pub(crate) fn set_masked(&self, masked: bool) {
        let mut control = EventControl::empty();
        control.set(EventControl::IM, masked);
        self.regs.write32(Reg32::Fectl, control.bits());
        // The read makes sure that the write has arrived.
        self.regs.read32(Reg32::Fectl);
    }

    /// Reports what is recorded, and what is recorded meanwhile, for a bounded time. Says whether nothing is
    /// pending any more; otherwise no interrupt will come for it.
    pub(crate) fn report_pending(&self) -> bool {
        const ROUNDS: u32 = 16;
        let _reading = self.reading.lock();
        for _ in 0..ROUNDS {
            let status = self.status();
            // A unit that has gone reads as all ones, and has nothing to tell.
            let gone = status.bits() == u32::MAX;
            if gone || !status.intersects(FaultStatus::PPF | FaultStatus::PFO) {
                return true;
            }
            self.report_records(status);
        }
        false
    }

    /// One round over the ring of records, from the oldest on.
    fn report_records(&self, status: FaultStatus) {
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
            self.report(record);
        }
        if status.contains(FaultStatus::PFO) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            if self.limit.allows() {
                pr_err!(
                    "{}: vtd fault: more faults than can be recorded, some are lost\n",
                    &*self.unit
                );
            }
            self.regs.write32(Reg32::Fsts, FaultStatus::PFO.bits());
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The invalidation queue of a unit (VT-d spec, 6.5.2): its registers, memory, lock and log lines.
//! The algorithm is [`siov_vtd::queue`].
//!
//! Locks: `ring` is the innermost lock of the driver. It is held while descriptors are written, not
//! while they are waited for, except when the ring is full.

use crate::error::Failure;
use crate::registers::Registers;
use core::sync::atomic::AtomicU64;
use kernel::prelude::*;
use kernel::sync::Arc;
use linux::iommu::driver::{Gfp, TableMemory, TablePages};
use linux::new_raw_spinlock;
use linux::ratelimit::RateLimit;
use linux::sync::{RawSpinLock, RawSpinLockGuard};
use linux::{poll, Show};
use siov_types::PhysAddr;
use siov_vtd::queue::{
    Counters, Devices, Engine, Memory, Platform, QueueErrorRecord, QueueEvent, QueueSize, Recovery,
    Registers as QueueRegisters, Ring, State, DELAY_US,
};
use siov_vtd::regs::{FaultStatus, GlobalCommand, Reg32, Reg64};

/// 256 descriptors, as the C driver has.
const ORDER: u8 = 1;

/// A run of descriptors being written.
pub(crate) type Submission<'a> = siov_vtd::queue::Submission<'a, Queue>;

/// The invalidation queue of a unit.
#[pin_data]
pub(crate) struct Queue {
    regs: Arc<Registers>,
    state: State,
    descriptors: TablePages,
    /// The first word is where waits report.
    status: TablePages,
    status_address: PhysAddr,
    #[pin]
    limit: RateLimit,
    #[pin]
    ring: RawSpinLock<Ring>,
}

impl Queue {
    /// An empty queue, not yet known to the unit.
    pub(crate) fn new(
        regs: Arc<Registers>,
        memory: TableMemory,
    ) -> Result<impl PinInit<Self, Error>> {
        let size = QueueSize::from_order(ORDER).ok_or(EINVAL)?;
        let descriptors = TablePages::new(memory, size.bytes(), Gfp::KERNEL)?;
        let status = TablePages::new(memory, size_of::<u64>(), Gfp::KERNEL)?;
        Ok(try_pin_init!(Self {
            regs,
            state: State::new(size),
            descriptors,
            status_address: status.phys(),
            status,
            limit <- RateLimit::new(5, 10, c"vtd queue"),
            ring <- new_raw_spinlock!(Ring::new(), "vtd queue"),
        }))
    }

    /// Switches queued invalidation on, with an empty queue.
    pub(crate) fn enable(&self) -> Result<(), Failure> {
        Engine::new(self).reset();
        self.regs.write64(
            Reg64::Iqa,
            self.state.size().address_register(self.descriptors.phys()),
        );
        self.regs.command(GlobalCommand::QIE, true)
    }

    /// Switches queued invalidation off. The queue must be empty: no submission is waiting.
    pub(crate) fn disable(&self) -> Result<(), Failure> {
        // The unit finishes what it has fetched before it stops; an empty queue has head at tail.
        poll::wait_for(1_000, || {
            self.regs.read64(Reg64::Iqh) == self.regs.read64(Reg64::Iqt)
        });
        self.regs.command(GlobalCommand::QIE, false)
    }

    /// What the queue has done so far.
    pub(crate) fn counters(&self) -> Counters {
        *self.ring.lock().counters()
    }

    /// Has the unit carry out what `fill` adds, and waits for it: see [`Engine::invalidate`].
    #[inline]
    pub(crate) fn invalidate(
        &self,
        devices: &impl Devices,
        fill: impl FnMut(&mut Submission<'_>),
    ) -> Result<(), Recovery> {
        Engine::new(self).invalidate(devices, fill)
    }
}

impl QueueRegisters for Queue {
    #[inline]
    fn set_tail(&self, value: u64) {
        self.regs.write64(Reg64::Iqt, value);
    }

    fn head(&self) -> u64 {
        self.regs.read64(Reg64::Iqh)
    }

    fn fault_status(&self) -> FaultStatus {
        FaultStatus::from_bits_retain(self.regs.read32(Reg32::Fsts))
    }

    fn clear(&self, flags: FaultStatus) {
        self.regs.write32(Reg32::Fsts, flags.bits());
    }

    fn error_record(&self) -> QueueErrorRecord {
        QueueErrorRecord::from_raw(self.regs.read64(Reg64::Iqercd))
    }
}

impl Memory for Queue {
    #[inline(always)]
    fn descriptors(&self) -> &[AtomicU64] {
        self.descriptors.words()
    }

    #[inline(always)]
    fn status(&self) -> &AtomicU64 {
        self.status.first()
    }

    #[inline(always)]
    fn status_address(&self) -> PhysAddr {
        self.status_address
    }
}

impl Platform for Queue {
    type Guard<'a> = RawSpinLockGuard<'a, Ring>;

    #[inline(always)]
    fn state(&self) -> &State {
        &self.state
    }

    #[inline(always)]
    fn lock(&self) -> Self::Guard<'_> {
        self.ring.lock()
    }

    fn relax(&self) {
        core::hint::spin_loop();
    }

    fn delay(&self) {
        poll::delay(DELAY_US);
    }

    fn report(&self, event: QueueEvent) {
        if matches!(event, QueueEvent::Ite { .. }) || !self.limit.allows() {
            return;
        }
        match event {
            QueueEvent::Iqe { descriptor, reason } => pr_err!(
                "invalidation queue error (IQE) at descriptor \"{}\": {}\n",
                Show(descriptor),
                Show(reason)
            ),
            // The unit says so, as far as it is a failure.
            QueueEvent::Ite { .. } => {}
            QueueEvent::Ice {
                source: Some(source),
            } => pr_warn!(
                "unexpected invalidation completion (ICE): {}\n",
                Show(source)
            ),
            QueueEvent::Ice { source: None } => {
                pr_warn!("unexpected invalidation completion (ICE): unknown function\n")
            }
            QueueEvent::Stalled { head, tail } => {
                pr_err!("invalidation queue stalled: head {head:#x}, tail {tail:#x}\n")
            }
            QueueEvent::Resumed => pr_warn!("invalidation queue resumed\n"),
        }
    }
}

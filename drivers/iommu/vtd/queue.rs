// SPDX-License-Identifier: GPL-2.0

//! Queued invalidation (VT-d spec, 6.5.2).
//!
//! A submission is written to the ring as one run of descriptors that a wait descriptor ends. What
//! the wait writes is the *position* of the ring's tail, a number that counts descriptors and wraps
//! at 2^32: since waits complete in order, one word says how far the unit has come, tells every
//! submitter whether its own run is done, and tells how many slots are free. There is no state per
//! slot and nothing to reclaim.
//!
//! Errors are counted. A submitter that sees the count change before its run is done does not reason
//! about which descriptors were lost: it submits its run again.
//!
//! Locks: `ring` is the innermost lock of the driver. It is held while descriptors are written, not
//! while they are waited for, except when the ring is full.

use crate::error::Failure;
use crate::registers::Registers;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;
use linux::iommu::driver::{Gfp, TableMemory, TablePages};
use linux::new_raw_spinlock;
use linux::ratelimit::RateLimit;
use linux::sync::{RawSpinLock, RawSpinLockGuard};
use linux::{poll, Show};
use siov_types::PhysAddr;
use siov_vtd::invalidate::{Descriptor, WaitFlags};
use siov_vtd::queue::{QueueErrorRecord, QueueSize, Slot, Stop};
use siov_vtd::regs::{FaultStatus, GlobalCommand, Reg32, Reg64};

/// 256 descriptors, as the C driver has.
const ORDER: u8 = 1;

/// How often a submission is repeated when errors hit the queue.
const TRIES: u32 = 3;

/// How long the queue may stand still, in milliseconds, before it is given up. A device-TLB
/// invalidation may take up to 90 s before the unit itself reports a time-out (PCIe spec, 10.3.1).
const STALL_MS: u32 = 100_000;

/// Looks at the status word before registers are looked at, which take a thousand times as long.
const SPINS: u32 = 2_000;

/// What the queue has done since the unit was brought up, in descriptors.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counters {
    /// By the type field of the descriptor.
    pub(crate) by_type: [u64; 16],
    /// Times IQE was found.
    pub(crate) refused: u64,
    /// Times ITE was found.
    pub(crate) timed_out: u64,
    /// Times ICE was found.
    pub(crate) unexpected: u64,
}

struct Ring {
    /// Position after the last descriptor written.
    tail: u32,
    /// Position that the unit has certainly passed, beside what it has reported.
    passed: u32,
    counters: Counters,
}

/// The invalidation queue of a unit.
#[pin_data]
pub(crate) struct Queue {
    regs: Arc<Registers>,
    size: QueueSize,
    descriptors: TablePages,
    /// The first word is where waits report, the second where fences write.
    status: TablePages,
    /// Counts the errors that made the unit skip descriptors.
    errors: AtomicU32,
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
            size,
            descriptors,
            status,
            errors: AtomicU32::new(0),
            limit <- RateLimit::new(5, 10, c"vtd queue"),
            ring <- new_raw_spinlock!(
                Ring {
                    tail: 0,
                    passed: 0,
                    counters: Counters::default(),
                },
                "vtd queue"
            ),
        }))
    }

    /// Switches queued invalidation on, with an empty queue (VT-d spec, 6.5.2: the head is reset).
    pub(crate) fn enable(&self) -> Result<(), Failure> {
        {
            let mut ring = self.ring.lock();
            ring.tail = 0;
            ring.passed = 0;
            self.report_word().store(0, Ordering::Relaxed);
        }
        self.regs.write64(Reg64::Iqt, 0);
        self.regs.write64(
            Reg64::Iqa,
            self.size.address_register(self.descriptors.phys()),
        );
        self.regs.command(GlobalCommand::QIE, true)
    }

    /// Switches queued invalidation off. The queue must be empty: nobody is waiting.
    pub(crate) fn disable(&self) -> Result<(), Failure> {
        // The unit finishes what it has fetched before it stops; an empty queue has head at tail.
        poll::wait_for(1_000, || {
            self.regs.read64(Reg64::Iqh) == self.regs.read64(Reg64::Iqt)
        });
        self.regs.command(GlobalCommand::QIE, false)
    }

    /// What the queue has done so far.
    pub(crate) fn counters(&self) -> Counters {
        self.ring.lock().counters
    }

    fn report_word(&self) -> &AtomicU64 {
        self.status.first()
    }

    /// Position up to which the unit has reported.
    #[inline(always)]
    fn reported(&self) -> u32 {
        // Acquire: what the invalidation made unreachable may be reused after this.
        self.report_word().load(Ordering::Acquire) as u32
    }

    /// Submits what `fill` adds and waits until the unit has carried it out. `fill` is called again
    /// when an error has hit the queue meanwhile, and must add the same each time.
    ///
    /// May be called in any context.
    #[inline]
    pub(crate) fn submit(&self, mut fill: impl FnMut(&mut Submission<'_>)) -> Result<(), Failure> {
        let mut failure = Failure::Stalled;
        for _ in 0..TRIES {
            let (ticket, errors) = {
                let ring = self.ring.lock();
                let errors = self.errors.load(Ordering::Relaxed);
                let mut submission = Submission::new(self, ring);
                fill(&mut submission);
                (submission.finish(), errors)
            };
            if is_past(self.reported(), ticket) && self.errors.load(Ordering::Relaxed) == errors {
                return Ok(());
            }
            match self.wait(ticket, errors) {
                Ok(()) => return Ok(()),
                Err(Failure::Stalled) => return Err(Failure::Stalled),
                Err(other) => failure = other,
            }
        }
        Err(failure)
    }

    /// Waits until the unit has come to `ticket`, or until `errors` is no longer the error count.
    #[cold]
    fn wait(&self, ticket: u32, errors: u32) -> Result<(), Failure> {
        let mut failure = None;
        let mut spins = 0;
        let finished = poll::wait_for(STALL_MS, || {
            if self.errors.load(Ordering::Relaxed) != errors {
                failure = failure.or(Some(Failure::Refused));
                return true;
            }
            if is_past(self.reported(), ticket) {
                return true;
            }
            spins += 1;
            if spins % SPINS == 0 {
                failure = self.check(&mut self.ring.lock());
            }
            failure.is_some()
        });
        match failure {
            Some(failure) => Err(failure),
            None if finished => Ok(()),
            None => Err(Failure::Stalled),
        }
    }

    /// Looks for errors of the queue, and gets it moving again (VT-d spec, 6.5.2.10). Returns what
    /// was found, when it may have cost descriptors.
    fn check(&self, ring: &mut Ring) -> Option<Failure> {
        let status = FaultStatus::from_bits_retain(self.regs.read32(Reg32::Fsts));
        if !status.intersects(FaultStatus::QUEUE_ERRORS) {
            return None;
        }
        let record = QueueErrorRecord::from_raw(self.regs.read64(Reg64::Iqercd));
        let clear = |flag: FaultStatus| self.regs.write32(Reg32::Fsts, flag.bits());

        if status.contains(FaultStatus::ICE) {
            ring.counters.unexpected += 1;
            clear(FaultStatus::ICE);
            if self.limit.allows() {
                pr_warn!("a device completed an invalidation that nothing had asked for\n");
            }
        }

        let stop = Stop::new(self.size, status, self.regs.read64(Reg64::Iqh))?;
        self.errors.fetch_add(1, Ordering::Relaxed);
        let failure = match stop {
            Stop::Refused { slot } => {
                ring.counters.refused += 1;
                if self.limit.allows() {
                    pr_err!(
                        "invalidation queue refused \"{}\": {}\n",
                        Show(self.read(slot)),
                        Show(record.reason())
                    );
                }
                // The queue goes on from this slot once the flag is cleared: let it find something
                // that it accepts.
                self.write(slot, self.fence());
                clear(FaultStatus::IQE);
                Failure::Refused
            }
            Stop::TimedOut { last } => {
                ring.counters.timed_out += 1;
                // All up to here was fetched, waits included, and will never report.
                let next = self.size.after(last, 1);
                let behind = self.size.distance(next, self.slot(ring.tail));
                ring.passed = ring.tail.wrapping_sub(behind.into());
                clear(FaultStatus::ITE);
                Failure::TimedOut(record.timed_out())
            }
        };
        Some(failure)
    }

    #[inline(always)]
    fn slot(&self, position: u32) -> Slot {
        self.size.after(Slot::FIRST, position as u16)
    }

    #[inline(always)]
    fn words(&self, slot: Slot) -> &[AtomicU64] {
        let start = slot.index() * Descriptor::WORDS;
        self.descriptors
            .words()
            .get(start..start + Descriptor::WORDS)
            .unwrap_or_default()
    }

    #[inline(always)]
    fn write(&self, slot: Slot, descriptor: Descriptor) {
        for (word, value) in self.words(slot).iter().zip(descriptor.raw()) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// A wait that nobody waits for. It writes to memory that nobody reads, because older emulated
    /// units refuse waits that neither write nor interrupt.
    fn fence(&self) -> Descriptor {
        let unread = PhysAddr::new(self.status.phys().raw() | size_of::<u64>() as u64);
        Descriptor::wait_status(unread, 0, WaitFlags::FENCE)
    }

    fn read(&self, slot: Slot) -> Descriptor {
        let mut raw = [0; Descriptor::WORDS];
        for (value, word) in raw.iter_mut().zip(self.words(slot)) {
            *value = word.load(Ordering::Relaxed);
        }
        Descriptor::from_raw(raw)
    }
}

/// Whether position `at` has reached `target`; both wrap, and are less than half the circle apart.
#[inline(always)]
fn is_past(at: u32, target: u32) -> bool {
    at.wrapping_sub(target) as i32 >= 0
}

/// A run of descriptors being written. Holds the ring's lock.
pub(crate) struct Submission<'a> {
    queue: &'a Queue,
    ring: RawSpinLockGuard<'a, Ring>,
    /// Slots free, beside one for the wait.
    room: u32,
}

impl<'a> Submission<'a> {
    #[inline(always)]
    fn new(queue: &'a Queue, ring: RawSpinLockGuard<'a, Ring>) -> Self {
        let room = Self::room(queue, &ring);
        Self { queue, ring, room }
    }

    /// Slots free, beside one for a wait and the one that is never used.
    #[inline(always)]
    fn room(queue: &Queue, ring: &Ring) -> u32 {
        let reported = queue.reported();
        let head = if is_past(reported, ring.passed) {
            reported
        } else {
            ring.passed
        };
        let used = ring.tail.wrapping_sub(head);
        u32::from(queue.size.slots() - 2).saturating_sub(used)
    }

    /// Adds one descriptor.
    #[inline(always)]
    pub(crate) fn push(&mut self, descriptor: Descriptor) {
        if self.room == 0 {
            self.drain();
        }
        self.room = self.room.wrapping_sub(1);
        self.append(descriptor);
    }

    /// What follows is carried out after what was added so far, not beside it.
    pub(crate) fn fence(&mut self) {
        self.push(self.queue.fence());
    }

    #[inline(always)]
    fn append(&mut self, descriptor: Descriptor) {
        let [low, ..] = descriptor.raw();
        self.ring.counters.by_type[(low & 0xf) as usize] += 1;
        self.queue
            .write(self.queue.slot(self.ring.tail), descriptor);
        self.ring.tail = self.ring.tail.wrapping_add(1);
    }

    /// Ends the run with a wait that reports `ticket`, and tells the unit. Returns the ticket.
    #[inline(always)]
    fn finish(&mut self) -> u32 {
        let ticket = self.ring.tail.wrapping_add(1);
        self.append(Descriptor::wait_status(
            self.queue.status.phys(),
            ticket,
            WaitFlags::empty(),
        ));
        let tail = self.queue.slot(ticket);
        self.queue.regs.write64(Reg64::Iqt, tail.register());
        ticket
    }

    /// Has the unit work off what is in the ring.
    #[cold]
    fn drain(&mut self) {
        let ticket = self.finish();
        let queue = self.queue;
        let mut spins = 0;
        poll::wait_for(STALL_MS, || {
            spins += 1;
            is_past(queue.reported(), ticket)
                || (spins % SPINS == 0 && queue.check(&mut self.ring).is_some())
        });
        // After a stall nothing is right any more: overwriting the oldest is as good as anything,
        // and the wait at the end of this submission will say so.
        self.room = Self::room(queue, &self.ring).max(1);
    }
}

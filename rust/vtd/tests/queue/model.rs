// SPDX-License-Identifier: GPL-2.0

//! The queue's surroundings: a [`Unit`], memory, a lock, and a schedule that says who goes on when.

use crate::unit::{device_tlb, iotlb, nonsense, Tag, Unit, STATUS};
use siov_types::{Bdf, PhysAddr};
use siov_vtd::invalidate::Descriptor;
use siov_vtd::queue::{
    Counters, Engine, Limits, Memory, Platform, QueueErrorRecord, QueueErrors, QueueEvent,
    QueueSize, Registers, Ring, Sources, State, Submission,
};
use siov_vtd::regs::FaultStatus;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

/// Who goes on when.
pub trait Schedule: Sized {
    const LIMITS: Limits;

    /// Whether the unit stands still while a submitter goes on from one point to the next.
    const STEPPED: bool;

    /// Called wherever a submitter may be interrupted. Others may go on meanwhile.
    fn point(&self, model: &Model<Self>, at: Point);
}

/// Where a submitter is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Point {
    /// About to take the ring's lock, or waiting for it.
    Lock,
    /// About to touch a register.
    Register,
    /// Has told the unit of descriptors.
    Written,
    /// Waiting for the unit.
    Relax,
    /// Waiting longer.
    Delay,
}

pub struct Model<S> {
    state: State,
    ring: Mutex<Ring>,
    descriptors: Box<[AtomicU64]>,
    status: [AtomicU64; 2],
    unit: Mutex<Unit>,
    events: Mutex<Vec<QueueEvent>>,
    blocked: Mutex<BTreeSet<Bdf>>,
    next_tag: AtomicU64,
    delays: AtomicU64,
    pub schedule: S,
}

impl<S: Schedule> Model<S> {
    pub fn new(size: QueueSize, schedule: S) -> Self {
        let words = usize::from(size.slots()) * Descriptor::WORDS;
        let model = Self {
            state: State::new(size),
            ring: Mutex::new(Ring::new()),
            descriptors: (0..words).map(|_| AtomicU64::new(u64::MAX)).collect(),
            status: Default::default(),
            unit: Mutex::new(Unit::new(size)),
            events: Mutex::default(),
            blocked: Mutex::default(),
            next_tag: AtomicU64::new(1),
            delays: AtomicU64::new(0),
            schedule,
        };
        Engine::new(&model).reset();
        model
    }

    pub fn unit(&self) -> MutexGuard<'_, Unit> {
        self.unit.lock().unwrap()
    }

    /// One step of the unit.
    pub fn step(&self, choice: u8, may_time_out: bool) {
        self.unit()
            .step(choice, may_time_out, &self.descriptors, &self.status);
    }

    /// All steps of the unit.
    pub fn run(&self, may_time_out: bool) {
        self.unit()
            .run(may_time_out, &self.descriptors, &self.status);
    }

    pub fn counters(&self) -> Counters {
        *self.ring.lock().unwrap().counters()
    }

    /// What went to the log.
    pub fn events(&self) -> Vec<QueueEvent> {
        self.events.lock().unwrap().clone()
    }

    /// How often somebody waited longer.
    pub fn delays(&self) -> u64 {
        self.delays.load(Ordering::SeqCst)
    }

    /// What callers have blocked.
    pub fn blocked(&self) -> Vec<Bdf> {
        self.blocked.lock().unwrap().iter().copied().collect()
    }

    /// Lets callers use all functions again.
    pub fn unblock(&self) {
        self.blocked.lock().unwrap().clear();
    }

    /// Adds what is not to be carried out, with these functions blocked.
    fn look_at(submission: &mut Submission<'_, Self>, item: Item, blocked: &[Bdf]) {
        match item {
            Item::Iotlb => submission.push(iotlb(0)),
            Item::Nonsense => submission.push(nonsense(0)),
            Item::Fence => submission.fence(),
            Item::DeviceTlb(source) if blocked.contains(&source) => {}
            Item::DeviceTlb(source) => submission.push(device_tlb(0, source)),
        }
    }

    /// Submits `what`, as a caller does who blocks functions that time out, and checks what comes
    /// of it against what the unit and the devices have done.
    pub fn submit(&self, what: &[Item]) -> Outcome {
        let mut tries: Vec<Vec<(Tag, Item)>> = Vec::new();
        let mut told = Sources::default();
        let mut to_tell = BTreeSet::new();
        // Which functions timed out while a try was under way.
        let mut time_outs = |tries: &[Vec<(Tag, Item)>]| {
            for (tag, item) in tries.last().into_iter().flatten() {
                match item {
                    Item::DeviceTlb(source) if self.unit().timed_out.contains(tag) => {
                        to_tell.insert(*source);
                    }
                    _ => {}
                }
            }
        };
        // Functions that somebody else has blocked while this waited: nothing waits for their TLBs.
        let mut excused = Vec::new();
        let fill = |submission: &mut Submission<'_, Self>| {
            if submission.is_dry() {
                excused = self.blocked.lock().unwrap().iter().copied().collect();
                for item in what {
                    Self::look_at(submission, *item, &excused);
                }
                return;
            }
            time_outs(&tries);
            let mut tags = Vec::new();
            for item in what {
                let tag = self.next_tag.fetch_add(1, Ordering::SeqCst);
                match item {
                    Item::Iotlb => submission.push(iotlb(tag)),
                    Item::Nonsense => submission.push(nonsense(tag)),
                    Item::Fence => submission.fence(),
                    Item::DeviceTlb(source) => {
                        if self.blocked.lock().unwrap().contains(source) {
                            continue;
                        }
                        submission.push(device_tlb(tag, *source));
                    }
                }
                tags.push((tag, *item));
            }
            tries.push(tags);
        };
        let block = |sources: &Sources| {
            told.merge(sources);
            for item in what {
                if let Item::DeviceTlb(source) = item {
                    if sources.may_contain(*source) {
                        self.blocked.lock().unwrap().insert(*source);
                    }
                }
            }
            self.blocked.lock().unwrap().extend(sources.named());
            true
        };
        let result = Engine::new(self).submit(fill, block);
        time_outs(&tries);
        let last = tries.last().expect("filled once").clone();
        let done = &self.unit().done;
        let lost = |tag: &Tag, item: &Item| match item {
            Item::Iotlb => !done.contains(tag),
            Item::DeviceTlb(source) => !done.contains(tag) && !excused.contains(source),
            Item::Fence | Item::Nonsense => false,
        };
        let complete = match &result {
            Ok(()) => true,
            Err(errors) => {
                assert!(told == *errors.ite(), "all was told in time: {errors:?}");
                errors.is_complete()
            }
        };
        for source in to_tell {
            assert!(
                !S::STEPPED
                    || told.may_contain(source)
                    || result.is_err_and(|errors| errors.stalled()),
                "{source} of {what:?} timed out and was not told"
            );
        }
        if complete {
            for (tag, item) in &last {
                assert!(!lost(tag, item), "{item:?} of {what:?} was not carried out");
            }
        }
        Outcome {
            result,
            tries: tries.len(),
        }
    }
}

/// What to submit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Item {
    Iotlb,
    Fence,
    DeviceTlb(Bdf),
    Nonsense,
}

/// What came of a submission.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub result: Result<(), QueueErrors>,
    /// How often it was written.
    pub tries: usize,
}

impl Outcome {
    /// What was found, with nothing found for one that went well.
    pub fn errors(&self) -> QueueErrors {
        self.result.err().unwrap_or_default()
    }

    /// Functions that timed out, by name.
    pub fn sources(&self) -> Vec<Bdf> {
        self.errors().ite().named().collect()
    }
}

impl<S: Schedule> Registers for Model<S> {
    fn set_tail(&self, value: u64) {
        self.schedule.point(self, Point::Register);
        self.unit().set_tail(value);
        self.schedule.point(self, Point::Written);
    }

    fn head(&self) -> u64 {
        self.schedule.point(self, Point::Register);
        match self.unit() {
            unit if unit.status == FaultStatus::all() => u64::MAX,
            unit => unit.head.register(),
        }
    }

    fn fault_status(&self) -> FaultStatus {
        self.schedule.point(self, Point::Register);
        self.unit().status
    }

    fn clear(&self, flags: FaultStatus) {
        self.schedule.point(self, Point::Register);
        self.unit().clear(flags);
    }

    fn error_record(&self) -> QueueErrorRecord {
        self.schedule.point(self, Point::Register);
        QueueErrorRecord::from_raw(self.unit().record)
    }
}

impl<S> Memory for Model<S> {
    fn descriptors(&self) -> &[AtomicU64] {
        &self.descriptors
    }

    fn status(&self) -> &AtomicU64 {
        &self.status[0]
    }

    fn status_address(&self) -> PhysAddr {
        PhysAddr::new(STATUS)
    }
}

impl<S: Schedule> Platform for Model<S> {
    type Guard<'a>
        = MutexGuard<'a, Ring>
    where
        S: 'a;

    const LIMITS: Limits = S::LIMITS;

    fn state(&self) -> &State {
        &self.state
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        loop {
            self.schedule.point(self, Point::Lock);
            match self.ring.try_lock() {
                Ok(guard) => return guard,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Poisoned(_)) => panic!("a submitter has failed"),
            }
        }
    }

    fn relax(&self) {
        self.schedule.point(self, Point::Relax);
    }

    fn delay(&self) {
        self.delays.fetch_add(1, Ordering::SeqCst);
        self.schedule.point(self, Point::Delay);
    }

    fn report(&self, event: QueueEvent) {
        self.events.lock().unwrap().push(event);
    }
}

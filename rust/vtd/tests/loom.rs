// SPDX-License-Identifier: GPL-2.0

//! Models of the invalidation queue: loom runs the schedules of two submitters, up to a number of
//! preemptions, with every value that the memory model lets a load return. The unit works the queue
//! off whenever one of them waits.
//!
//! Built by `RUSTFLAGS="--cfg loom" cargo test -p siov-vtd --test loom`, and empty otherwise.

#![cfg(loom)]
#![forbid(unsafe_code)]

use loom::sync::atomic::AtomicU32;
use loom::sync::{Arc, Mutex, MutexGuard};
use loom::thread;
use siov_types::{Bdf, PhysAddr};
use siov_vtd::atomic::{AtomicU64, Ordering};
use siov_vtd::invalidate::Descriptor;
use siov_vtd::queue::{
    Engine, Limits, Memory, Platform, QueueErrorRecord, QueueErrors, QueueEvent, QueueSize,
    Registers, Ring, Sources, State, Submission,
};
use siov_vtd::regs::FaultStatus;
use std::sync::atomic::AtomicBool;

const STATUS: u64 = 0x5000;

const X: Bdf = Bdf::new(1, 0);

/// Numbers of the submitters.
const A: usize = 0;
const B: usize = 1;

struct Model {
    state: State,
    ring: Mutex<Ring>,
    descriptors: Vec<AtomicU64>,
    status: AtomicU64,
    unit: Mutex<Unit>,
    /// How often the unit has carried out what a submitter submits.
    done: [AtomicU32; 2],
    hardware: Hardware,
    /// Somebody has blocked [`X`]. Not one of loom's: nothing depends on its order.
    blocked: AtomicBool,
}

/// What a unit does.
#[derive(Clone, Copy)]
struct Hardware {
    /// One slot is never used.
    size: QueueSize,
    /// The most descriptors that it carries out at a time.
    steps: usize,
    time_out: TimeOut,
}

/// When the unit reports that [`X`] did not answer.
#[derive(Clone, Copy)]
enum TimeOut {
    /// Before it fetches anything else: the wait of the same run is carried out later.
    Early,
    /// When it has fetched the next wait, which is lost.
    Late,
}

struct Unit {
    head: u64,
    tail: u64,
    faults: FaultStatus,
    record: u64,
    /// An invalidation of [`X`] is under way, which does not answer.
    waits_for_x: bool,
}

impl Model {
    fn new(hardware: Hardware) -> Self {
        let words = usize::from(hardware.size.slots()) * Descriptor::WORDS;
        Self {
            state: State::new(hardware.size),
            ring: Mutex::new(Ring::new()),
            descriptors: (0..words).map(|_| AtomicU64::new(0)).collect(),
            status: AtomicU64::new(0),
            unit: Mutex::new(Unit {
                head: 0,
                tail: 0,
                faults: FaultStatus::empty(),
                record: 0,
                waits_for_x: false,
            }),
            done: [AtomicU32::new(0), AtomicU32::new(0)],
            hardware,
            blocked: AtomicBool::new(false),
        }
    }

    fn unit(&self) -> MutexGuard<'_, Unit> {
        self.unit.lock().unwrap()
    }

    /// The unit carries out what is in the queue, but for invalidations of [`X`].
    fn run(&self) {
        let unit = &mut *self.unit();
        let stopped = FaultStatus::IQE | FaultStatus::ITE;
        for _ in 0..self.hardware.steps {
            if unit.head == unit.tail || unit.faults.intersects(stopped) {
                break;
            }
            let start = (unit.head >> 5) as usize * Descriptor::WORDS;
            let [low, high]: [u64; 2] =
                std::array::from_fn(|word| self.descriptors[start + word].load(Ordering::Relaxed));
            match low & 0xf {
                2 => {
                    let who = (high >> 12) as usize;
                    self.done[who].fetch_add(1, Ordering::Relaxed);
                }
                3 => match self.hardware.time_out {
                    TimeOut::Early => unit.time_out(),
                    TimeOut::Late => unit.waits_for_x = true,
                },
                5 if unit.waits_for_x => {
                    unit.waits_for_x = false;
                    unit.time_out();
                }
                5 if high == STATUS => self.status.store(low >> 32, Ordering::Release),
                5 => {}
                _ => {
                    unit.faults.insert(FaultStatus::IQE);
                    break;
                }
            }
            unit.head = (unit.head + 32) % self.hardware.size.bytes() as u64;
        }
    }
}

impl Unit {
    fn time_out(&mut self) {
        self.record = u64::from(X.raw()) << 32;
        self.faults.insert(FaultStatus::ITE);
    }
}

/// A submitter.
struct Submitter {
    model: Arc<Model>,
    me: usize,
}

impl Submitter {
    /// Submits `items`, as a caller does who blocks functions that time out.
    fn submit(&self, items: &[Item]) -> Result<(), QueueErrors> {
        let fill = |submission: &mut Submission<'_, Self>| {
            for item in items {
                match item {
                    Item::Iotlb => submission.push(iotlb(self.me)),
                    Item::DeviceTlb if self.model.blocked.load(Ordering::Relaxed) => {}
                    Item::DeviceTlb => submission.push(device_tlb()),
                    Item::Nonsense => submission.push(Descriptor::from_raw([0xf, 0, 0, 0])),
                }
            }
        };
        let block = |sources: &Sources| {
            assert!(sources.may_contain(X));
            self.model.blocked.store(true, Ordering::Relaxed);
            true
        };
        Engine::new(self).submit(fill, block)
    }

    /// How often the unit has carried out what this one submits, as it is seen without further ado:
    /// relaxed, so that nothing but the queue itself makes it seen.
    fn done(&self) -> u32 {
        self.model.done[self.me].load(Ordering::Relaxed)
    }
}

#[derive(Clone, Copy)]
enum Item {
    Iotlb,
    DeviceTlb,
    Nonsense,
}

fn iotlb(who: usize) -> Descriptor {
    Descriptor::from_raw([2, (who as u64) << 12, 0, 0])
}

fn device_tlb() -> Descriptor {
    Descriptor::from_raw([3 | u64::from(X.raw()) << 32, 0, 0, 0])
}

impl Registers for Submitter {
    fn set_tail(&self, value: u64) {
        self.model.unit().tail = value;
    }

    fn head(&self) -> u64 {
        self.model.unit().head
    }

    fn fault_status(&self) -> FaultStatus {
        self.model.unit().faults
    }

    fn clear(&self, flags: FaultStatus) {
        self.model.unit().faults.remove(flags);
    }

    fn error_record(&self) -> QueueErrorRecord {
        QueueErrorRecord::from_raw(self.model.unit().record)
    }
}

impl Memory for Submitter {
    fn descriptors(&self) -> &[AtomicU64] {
        &self.model.descriptors
    }

    fn status(&self) -> &AtomicU64 {
        &self.model.status
    }

    fn status_address(&self) -> PhysAddr {
        PhysAddr::new(STATUS)
    }
}

impl Platform for Submitter {
    type Guard<'a> = MutexGuard<'a, Ring>;

    /// Nobody gives up: there is no time here.
    const LIMITS: Limits = Limits {
        looks: 1,
        delays_per_check: 1,
        delays: u32::MAX,
        total: u32::MAX,
    };

    fn state(&self) -> &State {
        &self.model.state
    }

    fn lock(&self) -> Self::Guard<'_> {
        self.model.ring.lock().unwrap()
    }

    fn relax(&self) {
        self.model.run();
    }

    fn delay(&self) {
        self.model.run();
    }

    fn report(&self, _: QueueEvent) {}
}

type Run = fn(&Submitter);

/// Runs `a` and `b` once for each execution that the model has.
fn explore(preemptions: usize, hardware: Hardware, a: Run, b: Run) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    builder.check(move || {
        let model = Arc::new(Model::new(hardware));
        let submitter = |me| Submitter {
            model: model.clone(),
            me,
        };
        let (for_a, for_b) = (submitter(A), submitter(B));
        Engine::new(&for_a).reset();
        let thread = thread::spawn(move || b(&for_b));
        a(&for_a);
        thread.join().unwrap();
    });
}

impl Hardware {
    /// Works the whole queue off each time.
    const FAST: Self = Self {
        size: QueueSize::of_model(3),
        steps: 100,
        time_out: TimeOut::Late,
    };

    /// Carries out one descriptor at a time.
    const SLOW: Self = Self {
        steps: 1,
        ..Self::FAST
    };

    /// Has too few slots for the runs of both.
    const fn small(self) -> Self {
        Self {
            size: QueueSize::of_model(2),
            ..self
        }
    }

    const fn with(self, time_out: TimeOut) -> Self {
        Self { time_out, ..self }
    }
}

fn submit<const COUNT: usize>(submitter: &Submitter) {
    assert_eq!(submitter.submit(&[Item::Iotlb; COUNT]), Ok(()));
    assert_eq!(submitter.done(), COUNT as u32);
}

#[test]
fn a_submission_is_carried_out_when_it_returns() {
    explore(3, Hardware::FAST, submit::<1>, submit::<1>);
    explore(2, Hardware::SLOW, submit::<1>, submit::<1>);
}

/// The runs do not fit into the ring together.
#[test]
fn the_ring_is_full() {
    explore(3, Hardware::FAST.small(), submit::<2>, submit::<1>);
    explore(2, Hardware::SLOW.small(), submit::<2>, submit::<2>);
}

/// Whoever of the two finds the time-out, the one whose device it was learns of it, and what the
/// other one lost is done again.
#[test]
fn a_time_out_is_told_to_the_run_it_hit() {
    fn a(submitter: &Submitter) {
        let errors = submitter.submit(&[Item::DeviceTlb]).expect_err("X is dead");
        assert!(errors.is_complete() && errors.ite().named().eq([X]));
    }
    fn b(submitter: &Submitter) {
        if let Err(errors) = submitter.submit(&[Item::Iotlb]) {
            assert!(errors.is_complete() && errors.ite().named().eq([X]));
        }
        assert!(submitter.done() >= 1);
    }
    for time_out in [TimeOut::Early, TimeOut::Late] {
        explore(3, Hardware::FAST.with(time_out), a, b);
        explore(2, Hardware::SLOW.with(time_out), a, b);
    }
}

/// A descriptor that is refused hits nobody but who submitted it.
#[test]
fn a_refused_descriptor_hits_its_own_run() {
    fn a(submitter: &Submitter) {
        let errors = submitter.submit(&[Item::Nonsense]).expect_err("refused");
        assert!(errors.iqe() && errors.ite().is_empty());
    }
    fn b(submitter: &Submitter) {
        assert_eq!(submitter.submit(&[Item::Iotlb]), Ok(()));
        assert_eq!(submitter.done(), 1);
    }
    explore(2, Hardware::FAST, a, b);
    explore(2, Hardware::SLOW, a, b);
}

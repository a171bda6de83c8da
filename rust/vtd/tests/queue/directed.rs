// SPDX-License-Identifier: GPL-2.0

//! Cases, one thread: what happens meanwhile happens in hooks, at the points where a submitter may
//! be interrupted.

use crate::model::{Item, Model, Outcome, Point, Schedule};
use siov_types::Bdf;
use siov_vtd::queue::{Limits, QueueEvent, QueueSize, TRIES};
use siov_vtd::regs::FaultStatus;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use Item::{DeviceTlb, Fence, Iotlb, Nonsense};

const X: Bdf = Bdf::new(0x3a, 0x1d);
const Y: Bdf = Bdf::new(0, 0x20);

type Hook = Box<dyn FnOnce(&Hooked)>;

/// Hooks, each for the next time that a submitter waits; without one, the unit goes on as fast as
/// it can.
pub struct Hooks {
    hooks: RefCell<Vec<Hook>>,
    /// The same for the next times that one is about to take the ring's lock.
    pub at_lock: RefCell<Vec<Hook>>,
    /// The unit carries everything out before its submitter looks.
    pub fast: Cell<bool>,
    /// Whether time-outs come, and the unit moves at all while submitters wait.
    pub time_outs: Cell<bool>,
}

pub type Hooked = Model<Hooks>;

impl Schedule for Hooks {
    const STEPPED: bool = true;

    const LIMITS: Limits = Limits {
        looks: 2,
        delays_per_check: 2,
        delays: 20,
        total: 40,
    };

    fn point(&self, model: &Hooked, at: Point) {
        let next = |hooks: &RefCell<Vec<Hook>>| {
            let mut hooks = hooks.borrow_mut();
            (!hooks.is_empty()).then(|| hooks.remove(0))
        };
        match at {
            Point::Relax | Point::Delay => match next(&self.hooks) {
                Some(hook) => hook(model),
                None => model.run(self.time_outs.get()),
            },
            Point::Lock => {
                if let Some(hook) = next(&self.at_lock) {
                    hook(model);
                }
            }
            Point::Written if self.fast.get() => model.run(false),
            Point::Register | Point::Written => {}
        }
    }
}

/// A queue of 2^`shift` slots.
pub fn queue(shift: u32) -> Rc<Hooked> {
    let hooks = Hooks {
        hooks: RefCell::default(),
        at_lock: RefCell::default(),
        fast: Cell::new(false),
        time_outs: Cell::new(true),
    };
    Rc::new(Model::new(QueueSize::of_model(shift), hooks))
}

impl Model<Hooks> {
    /// Runs `hook` the next time that a submitter waits; several run in turn.
    pub fn meanwhile(&self, hook: impl FnOnce(&Hooked) + 'static) {
        self.schedule.hooks.borrow_mut().push(Box::new(hook));
    }

    /// Runs `hook` the next time that one is about to take the ring's lock; several run in turn.
    pub fn before_lock(&self, hook: impl FnOnce(&Hooked) + 'static) {
        self.schedule.at_lock.borrow_mut().push(Box::new(hook));
    }

    pub fn kill(&self, source: Bdf) {
        self.unit().dead.insert(source);
    }
}

/// The longest that one call may wait, in delays.
pub const LIMIT: u64 = Hooks::LIMITS.total as u64;

#[test]
fn nothing_goes_wrong() {
    let queue = queue(3);
    for _ in 0..100 {
        for what in [
            &[][..],
            &[Iotlb],
            &[Iotlb, Fence, DeviceTlb(X), DeviceTlb(Y)],
        ] {
            let outcome = queue.submit(what);
            assert_eq!((outcome.result, outcome.tries), (Ok(()), 1));
        }
    }
    assert!(queue.unit().is_empty());
    let counters = queue.counters();
    assert_eq!(counters.by_type[2..=5], [200, 200, 0, 400]);
    assert!(queue.events().is_empty());
}

#[test]
fn a_run_may_be_longer_than_the_ring() {
    for shift in [2, 3, 5] {
        let queue = queue(shift);
        for len in [1, 2, 3, 4, 7, 8, 9, 100] {
            let outcome = queue.submit(&vec![Iotlb; len]);
            assert_eq!((outcome.result, outcome.tries), (Ok(()), 1));
        }
        assert_eq!(queue.unit().done.len(), 134);
    }
}

/// Somebody else sees the time-out first, each time, before the one whose device it was looks.
#[test]
fn a_time_out_is_not_lost_when_another_one_sees_it_first() {
    fn another(queue: &Hooked, left: u32, others: Rc<RefCell<Vec<Outcome>>>) {
        queue.meanwhile(move |queue| {
            queue.run(false);
            let other = queue.submit(&[Iotlb]);
            // The unit has long gone on, past both.
            assert!(queue.unit().is_empty());
            others.borrow_mut().push(other);
            if left > 0 {
                another(queue, left - 1, others);
            }
        });
    }
    let queue = queue(5);
    queue.kill(X);
    let others = Rc::new(RefCell::new(Vec::new()));
    another(&queue, TRIES, others.clone());
    let outcome = queue.submit(&[Iotlb, Fence, DeviceTlb(X)]);
    assert_eq!(outcome.sources(), [X]);
    assert!(outcome.errors().is_complete() && outcome.tries == 2);
    // The wait of the first other one was lost, too: it had been fetched.
    let others: &[Outcome] = &others.borrow();
    assert_eq!(others[0].sources(), [X]);
    assert!(others[0].errors().is_complete() && others[0].tries == 2);
    assert!(others[1..].iter().all(|other| other.result.is_ok()));
    assert_eq!(queue.blocked(), [X]);
    assert_eq!(queue.events(), [QueueEvent::Ite { source: Some(X) }]);
}

/// The same with one whose run the time-out did not hit, because it came later.
#[test]
fn a_time_out_hits_only_what_was_fetched() {
    let queue = queue(5);
    queue.kill(X);
    let other = Rc::new(RefCell::new(None::<Outcome>));
    let seen = other.clone();
    queue.meanwhile(move |queue| {
        queue.run(false);
        queue.run(true);
        assert!(queue.unit().status.contains(FaultStatus::ITE));
        *seen.borrow_mut() = Some(queue.submit(&[Iotlb]));
    });
    let outcome = queue.submit(&[Iotlb, Fence, DeviceTlb(X)]);
    assert_eq!(outcome.sources(), [X]);
    assert!(outcome.errors().is_complete() && outcome.tries == 2);
    // It found the time-out, and says so; its own run went well.
    let other = other.borrow_mut().take().expect("the hook ran");
    assert_eq!(other.sources(), [X]);
    assert!(other.errors().is_complete() && other.tries == 1);
}

/// The wait of a run was not fetched yet when a device of the run timed out: it reports later, and
/// says nothing about the device.
#[test]
fn a_run_that_reports_may_have_lost_a_device() {
    let queue = queue(5);
    queue.kill(X);
    queue.meanwhile(|queue| {
        // All but the wait.
        queue.step(0, false);
        queue.step(1, false);
        queue.step(0, false);
        let in_flight = !queue.unit().is_empty();
        assert!(in_flight);
        queue.step(1, true);
        assert!(queue.unit().status.contains(FaultStatus::ITE));
    });
    let outcome = queue.submit(&[Iotlb, DeviceTlb(X)]);
    assert_eq!(outcome.sources(), [X]);
    assert!(outcome.errors().is_complete() && outcome.tries == 2);
}

/// Two devices at once: the unit reports one of them.
#[test]
fn both_of_two_dead_devices_are_found() {
    let queue = queue(5);
    queue.kill(X);
    queue.kill(Y);
    let outcome = queue.submit(&[Iotlb, Fence, DeviceTlb(X), DeviceTlb(Y)]);
    let mut sources = outcome.sources();
    sources.sort();
    assert_eq!(sources, [Y, X]);
    assert_eq!(queue.unit().silent_time_outs, 1);
    assert!(outcome.errors().is_complete() && outcome.tries == 3);
}

#[test]
fn all_of_three_failures_are_kept() {
    let queue = queue(5);
    queue.kill(X);
    queue.kill(Y);
    // The first try: a descriptor cannot be fetched. Then one device after the other.
    queue.unit().fails_to_fetch_in = Some(1);
    let outcome = queue.submit(&[Iotlb, Fence, DeviceTlb(X), Fence, DeviceTlb(Y)]);
    assert_eq!(outcome.tries, 3);
    let errors = outcome.errors();
    assert!(errors.iqe() && !errors.stalled() && errors.is_complete());
    assert_eq!(outcome.sources(), [X, Y]);
    let counters = queue.counters();
    assert_eq!((counters.iqe, counters.ite, counters.stalls), (1, 2, 0));
}

#[test]
fn a_unit_that_does_not_name_the_source() {
    let queue = queue(5);
    queue.kill(X);
    queue.unit().names_sources = false;
    let outcome = queue.submit(&[Iotlb, Fence, DeviceTlb(X), DeviceTlb(Y)]);
    assert!(outcome.errors().ite().may_contain(X) && outcome.sources().is_empty());
    // For want of a name, both.
    assert_eq!(queue.blocked(), [Y, X]);
    assert_eq!(queue.events(), [QueueEvent::Ite { source: None }]);
}

#[test]
fn a_refused_descriptor_hits_its_own_run() {
    let queue = queue(5);
    let other = Rc::new(RefCell::new(None::<Outcome>));
    let seen = other.clone();
    queue.meanwhile(move |queue| {
        *seen.borrow_mut() = Some(queue.submit(&[Iotlb, Iotlb]));
    });
    let outcome = queue.submit(&[Iotlb, Nonsense, Iotlb]);
    assert!(outcome.errors().iqe() && !outcome.errors().is_complete());
    assert_eq!(outcome.tries, TRIES as usize);
    let other = other.borrow_mut().take().expect("the hook ran");
    assert_eq!((other.result, other.tries), (Ok(()), 1));
    assert_eq!(queue.counters().iqe, u64::from(TRIES));
    // What was not refused was carried out each time.
    assert_eq!(queue.unit().done.len(), 2 * TRIES as usize + 2);
    assert!(matches!(
        queue.events()[0],
        QueueEvent::Iqe { descriptor, .. } if descriptor.kind().is_none()
    ));
}

/// The wait itself cannot be fetched, at each place in the ring, and when nothing else is in it
/// that could report.
#[test]
fn a_wait_that_is_refused() {
    for len in 0..20 {
        let queue = queue(3);
        for round in 0..20 {
            queue.unit().fails_to_fetch_in = Some(1 + (len + round) % 6);
            let outcome = queue.submit(&vec![Iotlb; len as usize % 6]);
            assert!(outcome.result.is_ok() || outcome.errors().is_complete());
            assert!(!outcome.errors().stalled());
        }
        queue.unit().fails_to_fetch_in = None;
        assert_eq!(queue.submit(&[Iotlb; 6]).result, Ok(()));
    }
}

/// A unit that does not go on when the error is cleared, but when the tail is written.
#[test]
fn a_unit_that_waits_for_the_tail() {
    let queue = queue(5);
    queue.kill(X);
    queue.unit().waits_for_tail = true;
    let outcome = queue.submit(&[Iotlb, Nonsense, Iotlb]);
    assert!(outcome.errors().iqe() && !outcome.errors().stalled());
    let outcome = queue.submit(&[Iotlb, Fence, DeviceTlb(X)]);
    assert!(outcome.errors().is_complete() && outcome.sources() == [X]);
    assert_eq!(queue.submit(&[Iotlb]).result, Ok(()));
    assert_eq!(queue.counters().stalls, 0);
}

#[test]
fn an_unexpected_completion_hits_nobody() {
    let queue = queue(5);
    queue.meanwhile(|queue| queue.unit().unexpected_completion(X));
    for _ in 0..4 {
        queue.meanwhile(|_| {});
    }
    let outcome = queue.submit(&[Iotlb]);
    assert_eq!((outcome.result, outcome.tries), (Ok(()), 1));
    assert_eq!(queue.counters().ice, 1);
    assert_eq!(queue.events(), [QueueEvent::Ice { source: Some(X) }]);
    assert!(queue.unit().status.is_empty());
}

#[test]
fn a_stalled_queue_fails_at_once() {
    let queue = queue(5);
    queue.unit().frozen = true;
    let outcome = queue.submit(&[Iotlb]);
    assert!(outcome.errors().stalled() && !outcome.errors().is_complete());
    assert_eq!(outcome.tries, 1);
    let delays = queue.delays();
    assert_eq!(delays, Hooks::LIMITS.delays.into());
    let tail = queue.counters().by_type[5];
    for len in 0..200 {
        let outcome = queue.submit(&vec![Iotlb; len]);
        assert!(outcome.errors().stalled() && !outcome.errors().is_complete());
    }
    assert_eq!(queue.delays(), delays, "without a wait");
    assert_eq!(queue.counters().by_type[5], tail, "and without a write");
    assert_eq!(queue.counters().stalls, 1);
    assert!(matches!(queue.events()[..], [QueueEvent::Stalled { .. }]));
}

/// Whoever waits when the queue is given up does not wait any longer.
#[test]
fn all_waiting_submitters_fail_with_the_first() {
    let queue = queue(5);
    queue.unit().frozen = true;
    queue.meanwhile(|queue| {
        let outcome = queue.submit(&[Iotlb]);
        assert!(outcome.errors().stalled());
    });
    let outcome = queue.submit(&[Iotlb]);
    assert!(outcome.errors().stalled());
    assert_eq!(queue.delays(), Hooks::LIMITS.delays.into());
}

/// A ring that is full of what a stalled unit has not fetched.
#[test]
fn a_stall_for_want_of_room() {
    let queue = queue(3);
    queue.unit().frozen = true;
    let outcome = queue.submit(&[Iotlb; 100]);
    assert!(outcome.errors().stalled() && !outcome.errors().is_complete());
    assert_eq!(queue.delays(), Hooks::LIMITS.delays.into());
}

/// The time-out of a device takes longer than anybody can wait.
#[test]
fn a_stalled_queue_resumes_when_the_time_out_comes() {
    let queue = queue(5);
    queue.kill(X);
    queue.schedule.time_outs.set(false);
    let outcome = queue.submit(&[Iotlb, Fence, DeviceTlb(X)]);
    assert!(outcome.errors().stalled() && outcome.sources().is_empty());
    let outcome = queue.submit(&[Iotlb]);
    assert!(outcome.errors().stalled() && !outcome.errors().has_resumed());
    queue.run(true);
    // Nobody is left who could be told, but for the next one. It fails, so that its caller makes
    // good for what was lost: by another submission, also if this was to be that one.
    let outcome = queue.submit(&[Iotlb]);
    assert!(outcome.errors().stalled() && !outcome.errors().is_complete());
    assert!(outcome.errors().has_resumed());
    assert_eq!(outcome.sources(), [X]);
    assert_eq!(queue.blocked(), [X]);
    let outcome = queue.submit(&[Iotlb, Fence, DeviceTlb(X), DeviceTlb(Y)]);
    assert_eq!((outcome.result, outcome.tries), (Ok(()), 1));
    assert!(matches!(
        queue.events()[..],
        [
            QueueEvent::Stalled { .. },
            QueueEvent::Ite { source: Some(X) },
            QueueEvent::Resumed
        ]
    ));
}

/// A unit that was only slow.
#[test]
fn a_stalled_queue_resumes_when_the_unit_has_caught_up() {
    let queue = queue(4);
    queue.unit().frozen = true;
    assert!(queue.submit(&[Iotlb; 30]).errors().stalled());
    queue.unit().frozen = false;
    // Not before it has worked off what is in the ring.
    queue.step(0, true);
    assert!(!queue.submit(&[Iotlb]).errors().has_resumed());
    assert!(queue.submit(&[Iotlb]).errors().stalled());
    queue.run(true);
    assert!(queue.submit(&[Iotlb]).errors().has_resumed());
    for len in 0..40 {
        assert_eq!(queue.submit(&vec![Iotlb; len]).result, Ok(()));
    }
}

/// Errors that hit others do not make anybody wait without end.
#[test]
fn the_wait_is_bounded_whatever_happens() {
    let queue = queue(5);
    for _ in 0..4 * LIMIT {
        queue.meanwhile(|queue| {
            // Something of somebody else is refused all the time, and the unit does not get to us.
            let mut unit = queue.unit();
            unit.frozen = true;
            if unit.status.is_empty() {
                unit.status.insert(FaultStatus::IQE);
                unit.record = 2;
            }
        });
    }
    let outcome = queue.submit(&[Iotlb]);
    assert!(outcome.result.is_err());
    assert!(queue.delays() <= LIMIT, "{} delays", queue.delays());
    let left = queue.schedule.hooks.borrow().len();
    assert!(left > 2 * LIMIT as usize, "it looked all the time");
}

/// The unit stays at one descriptor of somebody else's, and shows a new error each time.
#[test]
fn errors_without_end() {
    let queue = queue(5);
    {
        let mut unit = queue.unit();
        unit.frozen = true;
        unit.refuses_again = true;
        unit.status = FaultStatus::IQE;
    }
    queue.submit(&[]);
    let outcome = queue.submit(&[Iotlb; 3]);
    assert!(outcome.errors().stalled());
    assert!(queue.delays() <= 2 * LIMIT, "{} delays", queue.delays());
}

/// Registers that read as all ones: the unit is gone.
#[test]
fn a_unit_that_is_gone() {
    let queue = queue(5);
    {
        let mut unit = queue.unit();
        unit.frozen = true;
        unit.status = FaultStatus::all();
        unit.record = u64::MAX;
    }
    let outcome = queue.submit(&[Iotlb]);
    assert!(outcome.errors().stalled() && outcome.sources().is_empty());
    assert_eq!(queue.counters().ice, 0);
}

// SPDX-License-Identifier: GPL-2.0

//! Cases that take threads, each stopped where the case wants it.

use crate::keep::keep;
use crate::model::{Model, Point, Schedule};
use crate::pages::{Domain, DEVICES};
use siov_vtd::queue::{Limits, QueueSize};
use std::cell::Cell;
use std::sync::{Condvar, Mutex, OnceLock};
use std::thread;

thread_local! {
    static ME: Cell<&'static str> = const { Cell::new("") };
}

type Hook = fn(&Gated, &Model<Gated>, Point);

/// Calls a function wherever a thread that has a name may be interrupted.
struct Gated {
    hook: Hook,
    /// What has happened.
    events: Mutex<Vec<&'static str>>,
    changed: Condvar,
    domain: OnceLock<&'static Domain<'static, Gated>>,
}

impl Gated {
    fn has(&self, event: &str) -> bool {
        self.events.lock().unwrap().contains(&event)
    }

    fn say(&self, event: &'static str) {
        self.events.lock().unwrap().push(event);
        self.changed.notify_all();
    }

    fn wait(&self, event: &str) {
        let events = self.events.lock().unwrap();
        let has_not = |events: &mut Vec<&str>| !events.contains(&event);
        drop(self.changed.wait_while(events, has_not).unwrap());
    }
}

impl Schedule for Gated {
    const STEPPED: bool = true;

    const LIMITS: Limits = Limits {
        looks: 2,
        delays_per_check: 2,
        delays: 1_000,
        total: 2_000,
    };

    fn point(&self, model: &Model<Self>, at: Point) {
        (self.hook)(self, model, at);
        if matches!(at, Point::Relax | Point::Delay) {
            model.run(true);
        }
    }
}

fn domain(hook: Hook) -> &'static Domain<'static, Gated> {
    let schedule = Gated {
        hook,
        events: Mutex::default(),
        changed: Condvar::new(),
        domain: OnceLock::new(),
    };
    let model: &'static Model<Gated> = keep(Model::new(QueueSize::of_model(6), schedule));
    let domain: &'static Domain<'static, Gated> = keep(Domain::new(model, &DEVICES));
    assert!(model.schedule.domain.set(domain).is_ok());
    domain
}

/// One call has the unit informed of a device that it has blocked. Before it has seen that this is
/// done, another one blocks another device, which the unit is not informed of by that.
#[test]
fn a_block_is_known_if_the_unit_was_informed_after_it() {
    let [x, y, _] = DEVICES;
    let domain = domain(|gate, model, at| {
        let Some(domain) = gate.domain.get() else {
            return;
        };
        let [x, y, _] = DEVICES;
        match (ME.get(), at) {
            ("first", Point::Relax | Point::Delay)
                if domain.skipped().contains(&y) && !model.unit().blocked.contains(&y) =>
            {
                model.run(false);
                if model.unit().blocked.contains(&y) && !gate.has("y is known") {
                    gate.say("y is known");
                    gate.wait("x is blocked");
                }
            }
            ("second", Point::Lock)
                if domain.skipped().contains(&x) && !gate.has("x is blocked") =>
            {
                gate.say("x is blocked");
                gate.wait("the others are done");
            }
            ("third", Point::Written) => model.run(false),
            _ => {}
        }
    });
    let gate = &domain.model.schedule;
    domain.model.unit().dead.insert(y);
    let first = thread::spawn(|| {
        ME.set("first");
        domain.unmap()
    });
    gate.wait("y is known");
    domain.model.unit().dead.insert(x);
    let second = thread::spawn(|| {
        ME.set("second");
        domain.unmap()
    });
    let first = first.join().expect("the first one returns");
    ME.set("third");
    let third = domain.unmap();
    let reached = [&first, &third].map(|page| domain.reaches(page));
    gate.say("the others are done");
    let second = second.join().expect("the second one returns");
    assert_eq!(reached, [false, false]);
    assert!(!domain.reaches(&second));
}

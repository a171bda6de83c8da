// SPDX-License-Identifier: GPL-2.0

//! Devices that are removed without notice, and how long a call waits for what never comes. Time is
//! the number of delays.

use crate::directed::{queue, Hooked, Hooks, LIMIT};
use crate::keep::keep;
use crate::model::Schedule;
use crate::pages::{Domain, DEVICES};
use siov_types::Bdf;
use siov_vtd::queue::{QueueEvent, MOST_BLAMED};
use std::rc::Rc;

const X: Bdf = DEVICES[0];
const Y: Bdf = DEVICES[1];
const Z: Bdf = DEVICES[2];

/// What a queue that stands still takes until it is given up.
const STALL: u64 = Hooks::LIMITS.delays as u64;

/// A domain of these devices, for good, so that hooks can have it.
fn domain_of(devices: &'static [Bdf]) -> &'static Domain<'static, Hooks> {
    let queue: &'static Rc<Hooked> = keep(queue(5));
    keep(Domain::new(queue, devices))
}

fn domain() -> &'static Domain<'static, Hooks> {
    domain_of(&DEVICES)
}

#[test]
fn a_removed_device_is_not_asked() {
    let domain = domain();
    domain.remove(X);
    for _ in 0..10 {
        assert_eq!(domain.unmap().result, Ok(()));
    }
    // The other two.
    assert_eq!(domain.model.counters().by_type[3], 20);
    assert_eq!(domain.model.delays(), 0);
    assert!(domain.blocked().is_empty() && domain.model.events().is_empty());
}

/// The invalidation of its TLB is under way already, and the unit reports that it timed out much
/// later than anybody can wait.
#[test]
fn a_device_is_removed_while_it_is_waited_for() {
    let domain = domain_of(&[X]);
    let model = domain.model;
    model.schedule.time_outs.set(false);
    model.kill(X);
    for _ in 0..5 {
        model.meanwhile(|model| model.run(false));
    }
    model.meanwhile(|_| domain.remove(X));
    let page = domain.unmap();
    assert_eq!(page.result, Ok(()));
    assert!(!domain.reaches(&page));
    let delays = model.delays();
    assert!(delays < STALL / 2, "{delays} delays");
    assert!(model.events().is_empty());

    // It comes. The next one finds it, and nothing has failed.
    model.schedule.time_outs.set(true);
    for _ in 0..3 {
        let page = domain.unmap();
        assert_eq!(page.result, Ok(()));
        assert!(!domain.reaches(&page));
    }
    assert_eq!(model.events(), [QueueEvent::Ite { source: Some(X) }]);
    assert_eq!(domain.blocked(), [X]);
}

/// One of the others does not answer either, and is there: that is a failure.
#[test]
fn a_dead_device_is_one_though_another_was_removed() {
    let domain = domain();
    domain.model.kill(X);
    domain.model.kill(Y);
    domain.model.meanwhile(|model| model.run(false));
    domain.model.meanwhile(|_| domain.remove(X));
    let page = domain.unmap();
    let recovery = page.result.expect_err("Y has failed");
    assert!(recovery.failed.is_none() && recovery.errors.is_complete());
    assert!(recovery.errors.ite().named().any(|named| named == Y));
    assert!(!domain.reaches(&page));
    assert!(domain.blocked().contains(&Y) && !domain.blocked().contains(&Z));
}

/// The unit does not say who timed out: devices that are there keep their TLBs.
#[test]
fn a_removed_device_takes_the_blame() {
    let domain = domain();
    let model = domain.model;
    model.unit().names_sources = false;
    model.kill(X);
    model.meanwhile(|model| model.run(false));
    model.meanwhile(|_| domain.remove(X));
    assert_eq!(domain.unmap().result, Ok(()));
    assert_eq!(domain.blocked(), [X]);

    // But not for ever.
    model.kill(Y);
    let pages: Vec<_> = (0..MOST_BLAMED).map(|_| domain.unmap()).collect();
    assert!(pages.iter().all(|page| !domain.reaches(page)));
    assert!(domain.blocked().contains(&Y));
}

/// Several runs that are about a dead device stand in the ring: it times out once for all of them.
#[test]
fn a_dead_device_times_out_once() {
    fn another(domain: &'static Domain<'static, Hooks>, left: u32) {
        domain.model.meanwhile(move |model| {
            if left > 0 {
                another(domain, left - 1);
            } else {
                model.run(false);
                model.run(true);
            }
            let page = domain.unmap();
            assert!(!domain.reaches(&page));
        });
    }
    let domain = domain();
    domain.model.kill(X);
    another(domain, 2);
    let page = domain.unmap();
    assert!(!domain.reaches(&page));
    assert_eq!(domain.model.counters().ite, 1);
    assert_eq!(domain.blocked(), [X]);
}

/// One device after the other times out, each just before the queue is given up.
#[test]
fn a_call_waits_for_so_long_at_most() {
    let domain = domain();
    let model = domain.model;
    for device in DEVICES {
        model.kill(device);
    }
    let looks = u64::from(Hooks::LIMITS.looks);
    for count in 1..=10 * LIMIT {
        model.meanwhile(move |model| model.run(count % (STALL - looks - 1) == 0));
    }
    let page = domain.unmap();
    let recovery = page.result.expect_err("they are dead");
    assert!(recovery.failed.is_some_and(|errors| errors.stalled()));
    assert!(
        (STALL + 1..=LIMIT).contains(&model.delays()),
        "{} delays",
        model.delays()
    );
    assert!(domain.reaches(&page), "and it says so");

    // Without a wait from now on, until the unit gets there.
    let before = model.delays();
    for _ in 0..100 {
        let page = domain.unmap();
        assert!(page.result.is_err_and(|recovery| recovery.failed.is_some()));
    }
    assert_eq!(model.delays(), before);
    while domain.unmap().result.is_err() {
        model.run(true);
    }
    assert!(!domain.reaches(&page));
}

/// The same for room in the ring.
#[test]
fn a_call_waits_for_room_for_so_long_at_most() {
    let domain = domain();
    let model = domain.model;
    model.unit().frozen = true;
    // Each waits in its turn, and the last one for room.
    fn another(domain: &'static Domain<'static, Hooks>, left: u32) {
        domain.model.meanwhile(move |_| {
            if left > 0 {
                another(domain, left - 1);
            }
            assert!(domain.unmap().result.is_err());
        });
    }
    another(domain, 4);
    assert!(domain.unmap().result.is_err());
    assert_eq!(
        model.delays(),
        STALL,
        "the first one that gives up is the last"
    );
    assert_eq!(model.counters().stalls, 1);
}

/// The queue stands still when the call comes. Before it has said what it loses, another one finds
/// that the queue moves, and makes up for what is known to be lost.
#[test]
fn what_is_lost_when_the_queue_moves_again_is_made_up_for() {
    let domain = domain();
    let model = domain.model;
    model.unit().frozen = true;
    assert!(domain.unmap().result.is_err());
    // To write; to remember.
    model.before_lock(|_| {});
    model.before_lock(|model| {
        model.unit().frozen = false;
        model.run(true);
        while domain.unmap().result.is_err() {}
    });
    let page = domain.unmap();
    assert!(page.result.is_err_and(|recovery| recovery.failed.is_none()));
    assert!(!domain.reaches(&page));
}

/// A device is blocked in memory; the unit does not know it yet, and lets its translated requests
/// through. Who leaves its TLB out has the unit informed, also when nothing goes wrong.
#[test]
fn a_block_that_the_unit_does_not_know_is_none() {
    let domain = domain();
    let model = domain.model;
    model.kill(X);
    model.meanwhile(|model| model.run(false));
    model.meanwhile(|model| model.run(true));
    for _ in 0..4 {
        model.meanwhile(|_| {});
    }
    // Once the time-out was found, and X is blocked: before the same call goes on.
    fn until_blocked(domain: &'static Domain<'static, Hooks>) {
        domain.model.before_lock(move |_| {
            if domain.skipped().is_empty() {
                until_blocked(domain);
                return;
            }
            domain.model.schedule.fast.set(true);
            let page = domain.unmap();
            domain.model.schedule.fast.set(false);
            assert!(!domain.reaches(&page));
            assert_eq!(page.result, Ok(()));
        });
    }
    until_blocked(domain);
    let page = domain.unmap();
    assert!(!domain.reaches(&page) && domain.blocked() == [X]);
    assert!(model.schedule.at_lock.borrow().is_empty(), "it was blocked");
}

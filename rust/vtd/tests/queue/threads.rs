// SPDX-License-Identifier: GPL-2.0

//! Submitters and the unit on threads of their own, with devices that die and come back. What
//! [`Model::submit`] checks holds whatever the schedule is.

use crate::model::{Item, Model, Point, Schedule};
use siov_types::Bdf;
use siov_vtd::queue::{Limits, QueueSize};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const SUBMITTERS: u64 = 4;
const SUBMISSIONS: usize = 3_000;
const DEVICES: [Bdf; 3] = [Bdf::new(1, 0), Bdf::new(2, 0), Bdf::new(3, 0)];

/// All run as the machine lets them.
struct Free;

impl Schedule for Free {
    const STEPPED: bool = false;

    const LIMITS: Limits = Limits {
        looks: 200,
        delays_per_check: 2,
        // So long that the unit's thread has had its turn on any machine.
        delays: 1_000_000,
        total: 3_000_000,
    };

    fn point(&self, _: &Model<Self>, at: Point) {
        match at {
            Point::Relax => std::hint::spin_loop(),
            Point::Delay => thread::sleep(Duration::from_micros(20)),
            Point::Lock => thread::yield_now(),
            Point::Register | Point::Written => {}
        }
    }
}

/// Marsaglia's xorshift.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % below
    }

    fn submission(&mut self) -> Vec<Item> {
        (0..self.next(6))
            .map(|_| match self.next(40) {
                0 => Item::Nonsense,
                1..8 => Item::Fence,
                8..20 => Item::DeviceTlb(DEVICES[self.next(3) as usize]),
                _ => Item::Iotlb,
            })
            .collect()
    }
}

/// Steps of the unit until `stop`. A time-out takes its time.
fn unit(model: &Model<Free>, stop: &AtomicBool) {
    let mut random = Random(1);
    while !stop.load(Ordering::Relaxed) {
        let choice = random.next(256) as u8;
        model.step(choice, random.next(20) == 0);
        if random.next(16) == 0 {
            thread::yield_now();
        }
    }
}

/// Devices die and come back.
fn mayhem(model: &Model<Free>, stop: &AtomicBool) {
    let mut random = Random(2);
    while !stop.load(Ordering::Relaxed) {
        let device = DEVICES[random.next(3) as usize];
        let mut unit = model.unit();
        if !unit.dead.remove(&device) {
            unit.dead.insert(device);
        }
        if random.next(8) == 0 {
            unit.unexpected_completion(device);
        }
        drop(unit);
        model.unblock();
        thread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn submitters_and_unit_run_free() {
    let model = Model::new(QueueSize::of_model(5), Free);
    let (stop, complete, errors) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| unit(&model, &stop));
        scope.spawn(|| mayhem(&model, &stop));
        let submitters: Vec<_> = (0..SUBMITTERS)
            .map(|seed| {
                let (model, complete, errors) = (&model, &complete, &errors);
                scope.spawn(move || {
                    let mut random = Random(seed + 100);
                    for _ in 0..SUBMISSIONS {
                        let what = random.submission();
                        let outcome = model.submit(&what);
                        let found = outcome.errors();
                        assert!(!found.stalled(), "the unit never stands still");
                        let count = if outcome.result.is_ok() || found.is_complete() {
                            complete
                        } else {
                            errors
                        };
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let results: Vec<_> = submitters.into_iter().map(|thread| thread.join()).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(results.iter().all(|result| result.is_ok()));
    });
    let counters = model.counters();
    // The positions have wrapped, and all errors came.
    assert!(counters.by_type.iter().sum::<u64>() > 16_384 + 1_000);
    assert!(counters.iqe > 0 && counters.ite > 0 && counters.ice > 0 && counters.stalls == 0);
    assert!(complete.into_inner() > errors.into_inner());
}

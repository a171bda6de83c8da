// SPDX-License-Identifier: GPL-2.0

//! Models of the ring and the counters: loom runs the schedules of the threads, up to a number of
//! preemptions, with every value that the memory model lets a load return. The ring has three
//! entries, so it wraps around and fills up.
//!
//! Built by `RUSTFLAGS="--cfg loom" cargo test -p siov-ring --test loom`, and empty otherwise.

#![cfg(loom)]

mod common;

use common::{number, numbered};
use loom::sync::{Arc, Mutex};
use loom::thread;
use siov_ring::{Count, Peak, Refusal, Ring};
use std::ops::Range;

/// Runs `body` once for each execution that the model has.
fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

/// An empty ring whose next entry is `start`.
fn ring(start: u32) -> Ring {
    let ring = Ring::default();
    ring.set_indices(start, start);
    ring
}

/// Pushes `numbers` in order, up to the first that is refused, and returns that one.
fn push(ring: &Ring, numbers: Range<u64>) -> u64 {
    for n in numbers.clone() {
        match ring.push(&numbered(n)) {
            Ok(waiting) => assert!((1..=Ring::CAPACITY).contains(&waiting)),
            Err(refusal) => {
                assert_eq!(refusal, Refusal::Full);
                return n;
            }
        }
    }
    numbers.end
}

/// Pops up to `count` writes and returns their numbers. Each has to be whole.
fn pop(ring: &Ring, count: usize) -> Vec<u64> {
    std::iter::from_fn(|| ring.pop())
        .take(count)
        .map(number)
        .collect()
}

/// The producer fills the entry again that the consumer is reading.
#[test]
fn a_consumer_gets_whole_entries_in_order() {
    for start in 0..Ring::ENTRIES {
        model(3, move || {
            let ring = Arc::new(ring(start));
            push(&ring, 0..2);
            let shared = ring.clone();
            let producer = thread::spawn(move || push(&shared, 2..4));
            let mut seen = pop(&ring, 3);
            let end = producer.join().unwrap();
            seen.extend(pop(&ring, usize::MAX));
            assert_eq!(seen, (0..end).collect::<Vec<_>>());
        });
    }
}

/// The counters of a zone and its VM, and the lock under which they are stored.
#[derive(Default)]
struct Shared {
    ring: Ring,
    lock: Mutex<()>,
    coalesced: Count,
    full: Count,
    peak: Peak,
}

impl Shared {
    /// As `write()` of the driver.
    fn write(&self, n: u64) {
        let _held = self.lock.lock().unwrap();
        match self.ring.push(&numbered(n)) {
            Ok(waiting) => {
                self.coalesced.add(1);
                self.peak.raise(waiting);
            }
            Err(_) => self.full.add(1),
        }
    }

    fn counts(&self) -> [u64; 3] {
        [
            self.coalesced.get(),
            self.full.get(),
            self.peak.get().into(),
        ]
    }
}

/// Two vCPUs write while the counters are read without the lock.
#[test]
fn every_write_is_counted_once() {
    model(2, || {
        let shared = Arc::new(Shared::default());
        let others = [0..1, 1..3].map(|numbers| {
            let shared = shared.clone();
            thread::spawn(move || numbers.for_each(|n| shared.write(n)))
        });
        let (before, after) = (shared.counts(), shared.counts());
        for other in others {
            other.join().unwrap();
        }
        let last = shared.counts();
        // Of three writes the ring holds two.
        assert_eq!(last, [2, 1, 2]);
        for (earlier, later) in [(before, after), (after, last)] {
            assert!(earlier
                .iter()
                .zip(later)
                .all(|(earlier, later)| *earlier <= later));
        }
    });
}

/// User space stores indices while KVM pushes: KVM stores none that is outside of the ring.
#[test]
fn a_user_may_store_any_index() {
    const OUTSIDE: u32 = Ring::ENTRIES;
    for indices in [[(OUTSIDE, OUTSIDE), (1, 2)], [(2, u32::MAX), (OUTSIDE, 0)]] {
        model(3, move || {
            let ring = Arc::new(ring(1));
            let shared = ring.clone();
            let user = thread::spawn(move || {
                for (first, last) in indices {
                    shared.set_indices(first, last);
                }
            });
            for n in 0..2 {
                if let Ok(waiting) = ring.push(&numbered(n)) {
                    assert!(waiting <= Ring::CAPACITY);
                }
            }
            user.join().unwrap();
            let last = ring.indices().1;
            assert!(last < Ring::ENTRIES || indices.iter().any(|stored| stored.1 == last));
        });
    }
}

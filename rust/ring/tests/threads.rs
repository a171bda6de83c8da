// SPDX-License-Identifier: GPL-2.0

//! Producers and a consumer at the same time. What is asserted holds whatever the schedule is.

mod common;

use common::{number, numbered};
use siov_ring::{Refusal, Ring, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::thread;

const WRITES: u64 = if cfg!(miri) { 600 } else { 200_000 };

/// Threads that are at work: who waits for another one notices when that has failed.
struct AtWork<'a>(&'a AtomicUsize);

impl<'a> AtWork<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        Self(count)
    }

    /// Lets the others go on.
    fn wait(&self, all: usize) {
        assert_eq!(
            self.0.load(Ordering::Relaxed),
            all,
            "another thread has failed"
        );
        thread::yield_now();
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Has `producers` threads push numbers, each its own share in order, one at a time under a lock as
/// in KVM; hands what arrives to `consume`.
fn run(producers: u64, mut consume: impl FnMut(u64)) {
    let ring = Ring::default();
    let lock = Mutex::new(());
    let all = producers as usize + 1;
    let count = AtomicUsize::new(all);
    let push = |write: &Write| {
        let _held = lock.lock().unwrap();
        ring.push(write)
    };
    thread::scope(|scope| {
        for producer in 0..producers {
            let (push, count) = (&push, &count);
            scope.spawn(move || {
                let at_work = AtWork::new(count);
                for n in (producer..WRITES).step_by(producers as usize) {
                    while let Err(refusal) = push(&numbered(n)) {
                        assert_eq!(refusal, Refusal::Full);
                        at_work.wait(all);
                    }
                }
            });
        }
        let at_work = AtWork::new(&count);
        let mut arrived = 0;
        while arrived < WRITES {
            match ring.pop() {
                Some(write) => {
                    consume(number(write));
                    arrived += 1;
                }
                None => at_work.wait(all),
            }
        }
    });
    assert!(ring.is_empty());
}

#[test]
fn every_write_arrives_once_and_in_order() {
    let mut expected = 0;
    run(1, |n| {
        assert_eq!(n, expected);
        expected += 1;
    });
}

#[test]
fn each_producers_writes_stay_in_order() {
    const PRODUCERS: u64 = 4;
    let mut next: Vec<u64> = (0..PRODUCERS).collect();
    run(PRODUCERS, |n| {
        let expected = &mut next[(n % PRODUCERS) as usize];
        assert_eq!(n, *expected);
        *expected += PRODUCERS;
    });
}

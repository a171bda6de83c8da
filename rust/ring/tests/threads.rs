// SPDX-License-Identifier: GPL-2.0

//! A producer and a consumer at the same time. What is asserted holds whatever the schedule is.

mod common;

use common::{number, numbered};
use siov_ring::{Refusal, Ring};
use std::sync::Mutex;
use std::thread;

const WRITES: u64 = if cfg!(miri) { 500 } else { 200_000 };

#[test]
fn every_write_arrives_once_and_in_order() {
    let ring = Ring::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..WRITES {
                while let Err(refusal) = ring.push(&numbered(n)) {
                    assert_eq!(refusal, Refusal::Full);
                    thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        while expected < WRITES {
            match ring.pop() {
                Some(write) => {
                    assert_eq!(number(write), expected);
                    expected += 1;
                }
                None => thread::yield_now(),
            }
        }
    });
    assert!(ring.is_empty());
}

/// Several processors, one at a time under a lock, as in KVM.
#[test]
fn each_producers_writes_stay_in_order() {
    const PRODUCERS: u64 = 4;
    let ring = Ring::new();
    let lock = Mutex::new(());
    thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let (ring, lock) = (&ring, &lock);
            scope.spawn(move || {
                for n in 0..WRITES / PRODUCERS {
                    let write = numbered(n * PRODUCERS + producer);
                    loop {
                        let pushed = {
                            let _held = lock.lock().unwrap();
                            ring.push(&write)
                        };
                        if pushed.is_ok() {
                            break;
                        }
                        thread::yield_now();
                    }
                }
            });
        }
        let mut next: Vec<u64> = (0..PRODUCERS).collect();
        let mut total = 0;
        while total < WRITES / PRODUCERS * PRODUCERS {
            let Some(write) = ring.pop() else {
                thread::yield_now();
                continue;
            };
            let n = number(write);
            let expected = &mut next[(n % PRODUCERS) as usize];
            assert_eq!(n, *expected);
            *expected += PRODUCERS;
            total += 1;
        }
    });
    assert!(ring.is_empty());
}

// SPDX-License-Identifier: GPL-2.0

//! The ring against a queue, and against a user space that lies.

mod common;

use common::{number, numbered};
use proptest::prelude::*;
use siov_ring::{Data, Refusal, Ring, Space, Write};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;

#[test]
fn holds_all_but_one() {
    for start in 0..Ring::ENTRIES {
        let ring = Ring::default();
        ring.set_indices(start, start);
        assert!(ring.is_empty());
        for n in 0..Ring::CAPACITY {
            assert_eq!(ring.push(&numbered(n.into())), Ok(n + 1));
            assert_eq!(ring.len(), n + 1);
        }
        assert_eq!(ring.push(&numbered(999)), Err(Refusal::Full));
        assert_eq!(number(ring.pop().unwrap()), 0);
        assert_eq!(ring.push(&numbered(169)), Ok(Ring::CAPACITY));
        assert_eq!(ring.push(&numbered(999)), Err(Refusal::Full));
        for n in 1..=169 {
            assert_eq!(number(ring.pop().unwrap()), n);
        }
        assert_eq!(ring.pop(), None);
    }
}

#[test]
fn an_index_outside_is_never_used() {
    for last in [Ring::ENTRIES, Ring::ENTRIES + 1, 0x8000_0000, u32::MAX] {
        let ring = Ring::default();
        ring.spare().store(0x1122_3344_5566_7788, Ordering::Relaxed);
        ring.set_indices(3, last);
        assert_eq!(ring.push(&numbered(1)), Err(Refusal::BadIndex));
        assert_eq!(ring.indices(), (3, last), "the kernel repairs nothing");
        assert_eq!(ring.spare().load(Ordering::Relaxed), 0x1122_3344_5566_7788);
    }
}

/// A ring whose reader has gone astray is never full, as it always was.
#[test]
fn a_reader_outside_stops_no_producer() {
    let ring = Ring::default();
    for first in [Ring::ENTRIES, 1000, u32::MAX] {
        ring.set_indices(first, 0);
        for n in 0..1000 {
            assert_eq!(ring.push(&numbered(n)), Ok(0));
            assert!(ring.indices().1 < Ring::ENTRIES);
        }
    }
}

#[test]
fn a_reader_survives_what_it_finds() {
    let ring = Ring::default();
    ring.set_indices(0, 500);
    assert_eq!(ring.pop(), None);
    ring.set_indices(500, 3);
    assert_eq!(ring.pop(), None);
    assert_eq!(ring.indices(), (3, 3), "emptied");
    ring.push(&numbered(1)).unwrap();
    assert_eq!(number(ring.pop().unwrap()), 1);
}

#[test]
fn every_length_keeps_its_bytes() {
    let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    for len in 0..=8 {
        let data = Data::new(&bytes[..len]).unwrap();
        assert_eq!(data.len(), len);
        assert_eq!(data.bytes()[..len], bytes[..len]);
        assert_eq!(data.bytes()[len..], [0; 8][len..]);
        let ring = Ring::default();
        let write = Write {
            space: Space::Pio,
            addr: 0x70,
            data,
        };
        ring.push(&write).unwrap();
        assert_eq!(ring.pop(), Some(write));
    }
    assert_eq!(Data::new(&bytes), None);
}

#[derive(Clone, Debug)]
enum Step {
    Push(u8),
    Pop(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1u8..90).prop_map(Step::Push),
        (1u8..90).prop_map(Step::Pop)
    ]
}

proptest! {
    #![proptest_config(common::cases(500))]

    #[test]
    fn is_a_queue(start in 0..Ring::ENTRIES, steps in prop::collection::vec(step(), 1..60)) {
        let ring = Ring::default();
        ring.set_indices(start, start);
        let mut model = VecDeque::new();
        let mut next = 0;
        for step in steps {
            match step {
                Step::Push(count) => for _ in 0..count {
                    let expected = if model.len() < Ring::CAPACITY as usize {
                        model.push_back(next);
                        Ok(model.len() as u32)
                    } else {
                        Err(Refusal::Full)
                    };
                    prop_assert_eq!(ring.push(&numbered(next)), expected);
                    next += 1;
                },
                Step::Pop(count) => for _ in 0..count {
                    prop_assert_eq!(ring.pop().map(number), model.pop_front());
                },
            }
            prop_assert_eq!(ring.len() as usize, model.len());
        }
    }

    /// Whatever user space stores, the index that KVM stores is in the ring.
    #[test]
    fn lies_stay_on_the_page(
        lies in prop::collection::vec((prop_oneof![0u32..180, any::<u32>()], prop_oneof![0u32..180, any::<u32>()]), 1..50),
    ) {
        let ring = Ring::default();
        for (first, last) in lies {
            ring.set_indices(first, last);
            match ring.push(&numbered(1)) {
                Ok(waiting) => {
                    prop_assert!(last < Ring::ENTRIES && ring.indices().1 < Ring::ENTRIES);
                    prop_assert!(waiting < Ring::ENTRIES);
                }
                Err(Refusal::BadIndex) => prop_assert!(last >= Ring::ENTRIES),
                Err(Refusal::Full) => prop_assert_eq!((last + 1) % Ring::ENTRIES, first),
            }
            prop_assert_eq!(ring.spare().load(Ordering::Relaxed), 0);
        }
    }
}

/// An entry as the C code leaves it: it copies as many bytes as are written, and no more.
#[test]
fn bytes_after_the_data_are_not_read() {
    let ring = Ring::default();
    let long = Write {
        space: Space::Mmio,
        addr: 0,
        data: Data::new(&[0xff; 8]).unwrap(),
    };
    ring.push(&long).unwrap();
    ring.entry(0).unwrap().set_len(2);
    assert_eq!(ring.pop().unwrap().data, Data::new(&[0xff; 2]).unwrap());
}

// SPDX-License-Identifier: GPL-2.0

//! Producer and consumer, interleaved at each access to the page: one call runs whole inside of the
//! other, before its nth access. The ring's source is compiled here once more, over atomics that
//! count.

#![allow(dead_code)]

use std::collections::VecDeque;

mod atomic {
    //! Atomics that call a hook before the nth access.

    use std::cell::RefCell;
    use std::sync::atomic;

    pub use std::sync::atomic::Ordering;

    type Hook = (usize, Box<dyn FnOnce()>);

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// Has `hook` run before access `nth`, counted from 0, and `body` do the accesses. Whether
    /// there were as many.
    pub fn interleave(nth: usize, hook: impl FnOnce() + 'static, body: impl FnOnce()) -> bool {
        HOOK.set(Some((nth, Box::new(hook))));
        body();
        HOOK.take().is_none()
    }

    fn access() {
        match HOOK.take() {
            Some((0, hook)) => hook(),
            Some((left, hook)) => HOOK.set(Some((left - 1, hook))),
            None => {}
        }
    }

    macro_rules! counted {
        ($name:ident, $value:ty) => {
            #[derive(Debug, Default)]
            #[repr(transparent)]
            pub struct $name(atomic::$name);

            impl $name {
                pub const fn new(value: $value) -> Self {
                    Self(atomic::$name::new(value))
                }

                pub fn load(&self, order: Ordering) -> $value {
                    access();
                    self.0.load(order)
                }

                pub fn store(&self, value: $value, order: Ordering) {
                    access();
                    self.0.store(value, order);
                }
            }
        };
    }

    counted!(AtomicU32, u32);
    counted!(AtomicU64, u64);
}

#[path = "../src/ring.rs"]
mod ring;
#[path = "../src/write.rs"]
mod write;

use atomic::interleave;
use ring::Ring;
use std::cell::RefCell;
use std::rc::Rc;
use write::{Data, Space, Write};

fn numbered(number: u32) -> Write {
    Write {
        space: if number % 2 == 0 {
            Space::Pio
        } else {
            Space::Mmio
        },
        addr: u64::from(number) * 3,
        data: Data::new(&u64::from(number).to_ne_bytes()[..]).unwrap(),
    }
}

/// A ring from `start` on in which so many writes wait.
fn ring(start: u32, waiting: u32) -> Rc<Ring> {
    let ring = Rc::new(Ring::default());
    ring.set_indices(start, start);
    for number in 0..waiting {
        ring.push(&numbered(number)).unwrap();
    }
    ring
}

/// Each start and filling at which something is at an end.
fn rings() -> impl Iterator<Item = (u32, u32)> {
    [0, 1, 100, 168, 169]
        .into_iter()
        .flat_map(|start| [0, 1, 2, 167, 168, 169].map(|waiting| (start, waiting)))
}

#[test]
fn a_reader_inside_of_a_push_sees_whole_entries() {
    for (start, waiting) in rings() {
        for nth in 0.. {
            let ring = ring(start, waiting);
            let seen = Rc::new(RefCell::new(VecDeque::new()));
            let (reader, log) = (ring.clone(), seen.clone());
            let mut pushed = false;
            let interleaved = interleave(
                nth,
                move || log.borrow_mut().extend(std::iter::from_fn(|| reader.pop())),
                || pushed = ring.push(&numbered(waiting)).is_ok(),
            );
            let mut seen = seen.take();
            seen.extend(std::iter::from_fn(|| ring.pop()));
            let expected: VecDeque<_> = (0..waiting + u32::from(pushed)).map(numbered).collect();
            assert_eq!(seen, expected, "{waiting} from {start}, access {nth}");
            if !interleaved {
                // Both indices; four fields and an index.
                assert_eq!(nth, if pushed { 7 } else { 2 }, "accesses");
                break;
            }
        }
    }
}

#[test]
fn a_push_inside_of_a_read_takes_nothing_away() {
    for (start, waiting) in rings() {
        for nth in 0.. {
            let ring = ring(start, waiting);
            let pushed = Rc::new(RefCell::new(0));
            let (writer, count) = (ring.clone(), pushed.clone());
            let mut seen = Vec::new();
            let interleaved = interleave(
                nth,
                move || {
                    while writer.push(&numbered(waiting + *count.borrow())).is_ok() {
                        *count.borrow_mut() += 1;
                    }
                },
                || seen.extend(ring.pop()),
            );
            seen.extend(std::iter::from_fn(|| ring.pop()));
            let expected: Vec<_> = (0..waiting + pushed.take()).map(numbered).collect();
            assert_eq!(seen, expected, "{waiting} from {start}, access {nth}");
            if !interleaved {
                assert!(nth > 1, "only {nth} accesses");
                break;
            }
        }
    }
}

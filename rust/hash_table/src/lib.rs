// SPDX-License-Identifier: GPL-2.0

//! Hash tables in memory that the caller owns: open addressing with linear probing (Knuth, The Art
//! of Computer Programming, vol. 3, 6.4, algorithms L and R).
//!
//! A table is a slice of slots. Whoever owns it decides when it grows, and how an allocation fails,
//! which is why it serves in a kernel. It should be at most half full; [`has_room`] says so. The
//! number of slots is a power of two; of another number, those beyond the greatest power of two are
//! not used.
//!
//! Adding and removing an entry takes no allocation, and does not depend on how many others there
//! are.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

/// An entry: it knows its key.
pub trait Keyed {
    /// The key. No two entries of a table have the same.
    fn key(&self) -> u64;
}

/// Whether another entry may join a table of `slots` slots that holds `entries`.
#[inline]
pub const fn has_room(slots: usize, entries: usize) -> bool {
    entries < slots / 2
}

/// The last slot that is used; its bits are ones.
#[inline]
fn mask<T>(slots: &[Option<T>]) -> usize {
    match slots.len().checked_ilog2() {
        Some(order) => (1 << order) - 1,
        None => 0,
    }
}

/// Where the search for a key begins: Fibonacci hashing, for keys that are addresses differ in
/// their middle bits.
#[inline]
fn home(key: u64, mask: usize) -> usize {
    let spread = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    spread as usize & mask
}

/// How far `index` lies behind the slot where the search for `key` begins. The first slot follows
/// the last one.
#[inline]
fn distance(key: u64, index: usize, mask: usize) -> usize {
    index.wrapping_sub(home(key, mask)) & mask
}

/// The slot that holds `key`.
#[inline]
pub fn find<T: Keyed>(slots: &[Option<T>], key: u64) -> Option<usize> {
    let mask = mask(slots);
    let mut index = home(key, mask);
    for _ in 0..=mask {
        match slots.get(index)? {
            None => return None,
            Some(entry) if entry.key() == key => return Some(index),
            Some(_) => index = (index + 1) & mask,
        }
    }
    None
}

/// Stores an entry whose key is not in the table, and says where.
///
/// # Errors
///
/// The entry, when all slots are taken.
#[inline]
pub fn insert<T: Keyed>(slots: &mut [Option<T>], entry: T) -> Result<usize, T> {
    let mask = mask(slots);
    let mut index = home(entry.key(), mask);
    for _ in 0..=mask {
        match slots.get_mut(index) {
            Some(slot @ None) => {
                *slot = Some(entry);
                return Ok(index);
            }
            _ => index = (index + 1) & mask,
        }
    }
    Err(entry)
}

/// Empties a slot. Other entries move, so that each is found without a mark where this one was.
#[inline]
pub fn remove<T: Keyed>(slots: &mut [Option<T>], index: usize) -> Option<T> {
    let mask = mask(slots);
    let removed = slots.get_mut(index)?.take();
    let mut hole = index;
    let mut next = index;
    for _ in 0..mask {
        next = (next + 1) & mask;
        let Some(Some(entry)) = slots.get(next) else {
            break;
        };
        // An entry may not move to before its home.
        let key = entry.key();
        if distance(key, hole, mask) < distance(key, next, mask) {
            slots.swap(hole, next);
            hole = next;
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Entry(u64, u32);

    impl Keyed for Entry {
        fn key(&self) -> u64 {
            self.0
        }
    }

    fn table(slots: usize) -> Vec<Option<Entry>> {
        std::iter::repeat_n(None, slots).collect()
    }

    #[test]
    fn no_slots() {
        let mut slots = table(0);
        assert_eq!(find(&slots, 1), None);
        assert_eq!(insert(&mut slots, Entry(1, 2)), Err(Entry(1, 2)));
        assert_eq!(remove(&mut slots, 0), None);
        assert!(!has_room(0, 0) && !has_room(1, 0));
    }

    #[test]
    fn a_full_table_takes_no_more() {
        for size in [1, 2, 4, 8] {
            let mut slots = table(size);
            for key in 0..size as u64 {
                assert!(insert(&mut slots, Entry(key, 0)).is_ok());
            }
            assert_eq!(insert(&mut slots, Entry(99, 1)), Err(Entry(99, 1)));
            assert_eq!(find(&slots, 99), None);
            for key in 0..size as u64 {
                let at = find(&slots, key).unwrap();
                assert_eq!(remove(&mut slots, at), Some(Entry(key, 0)));
                assert_eq!(find(&slots, key), None);
            }
        }
    }

    #[test]
    fn half_full() {
        assert!(has_room(16, 7) && !has_room(16, 8));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64, u32),
        Remove(u64),
    }

    // Few keys, so that they collide and come again; of all sizes, as addresses do.
    fn step() -> impl Strategy<Value = Step> {
        let key = (0_u64..24).prop_map(|n| n * 0x40 + 0xffff_8880_0000_0000 * (n % 2));
        prop_oneof![
            (key.clone(), any::<u32>()).prop_map(|(key, value)| Step::Insert(key, value)),
            key.prop_map(Step::Remove),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(slots in 0_usize..40, steps in prop::collection::vec(step(), 0..200)) {
            let size = slots.checked_ilog2().map_or(0, |order| 1 << order);
            let mut slots = table(slots);
            let mut model = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Insert(key, value) => {
                        if find(&slots, key).is_some() {
                            prop_assert!(model.contains_key(&key));
                            continue;
                        }
                        let inserted = insert(&mut slots, Entry(key, value));
                        prop_assert_eq!(inserted.is_ok(), model.len() < size);
                        if inserted.is_ok() {
                            model.insert(key, value);
                        }
                    }
                    Step::Remove(key) => {
                        let at = find(&slots, key);
                        let removed = at.and_then(|at| remove(&mut slots, at));
                        prop_assert_eq!(removed.map(|e| e.1), model.remove(&key));
                    }
                }
                prop_assert_eq!(slots.iter().flatten().count(), model.len());
                for (key, value) in &model {
                    let at = find(&slots, *key);
                    prop_assert_eq!(at.and_then(|at| slots[at]), Some(Entry(*key, *value)));
                }
            }
        }
    }
}

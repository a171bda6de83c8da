// SPDX-License-Identifier: GPL-2.0

//! Dirty bitmaps: one bit for each page of a mapping, in words of 64 bits.

/// Words that hold `bits` bits.
pub const fn words(bits: u64) -> u64 {
    bits.div_ceil(64)
}

/// Sets `count` bits from `first` on; what lies outside of `map` is left out.
pub fn set(map: &mut [u64], first: u64, count: u64) {
    change(map, first, count, |word, mask| *word |= mask);
}

/// Clears all bits.
pub fn clear(map: &mut [u64]) {
    map.fill(0);
}

fn change(map: &mut [u64], first: u64, count: u64, apply: impl Fn(&mut u64, u64)) {
    let end = first.saturating_add(count);
    let Ok(start) = usize::try_from(first / 64) else {
        return;
    };
    let mut base = first & !63;
    for word in map.iter_mut().skip(start) {
        if base >= end {
            break;
        }
        let low = first.saturating_sub(base);
        let high = (end - base).min(64);
        apply(word, ones(high) & !ones(low));
        base = base.saturating_add(64);
    }
}

/// The lowest `count` bits, `count` up to 64.
const fn ones(count: u64) -> u64 {
    if count >= 64 {
        u64::MAX
    } else {
        !(u64::MAX << count)
    }
}

/// Where a mapping's bits land in the bitmap of a larger range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Word of the larger bitmap that holds the first bit.
    pub word: u64,
    /// Position of the first bit in that word, 0 to 63.
    pub shift: u32,
}

impl Placement {
    /// Of a mapping that begins `offset` bytes into the range, a bit for each `1 << page_shift`
    /// bytes.
    pub const fn new(offset: u64, page_shift: u32) -> Self {
        let bit = offset >> (page_shift & 63);
        Self {
            word: bit / 64,
            shift: (bit % 64) as u32,
        }
    }
}

/// The words that user space gets for a mapping of `bits` pages: the bits of `map`, moved up by
/// `shift`, below them the `shift` bits of `head` that belong to the mapping before.
pub fn shifted(map: &[u64], bits: u64, shift: u32, head: u64) -> impl Iterator<Item = u64> + '_ {
    let shift = shift & 63;
    let count = usize::try_from(words(bits.saturating_add(u64::from(shift)))).unwrap_or(usize::MAX);
    (0..count).map(move |index| {
        let here = map.get(index).copied().unwrap_or(0);
        if shift == 0 {
            return here;
        }
        let below = match index.checked_sub(1) {
            Some(before) => map.get(before).copied().unwrap_or(0) >> (64 - shift),
            None => head & ones(u64::from(shift)),
        };
        (here << shift) | below
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use crate::proptest_config::cases;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn bits(map: &[u64], count: usize) -> Vec<bool> {
        (0..count)
            .map(|i| (map[i / 64] >> (i % 64)) & 1 == 1)
            .collect()
    }

    proptest! {
        #![proptest_config(cases(512))]

        #[test]
        fn set_is_what_a_loop_sets(ranges in prop::collection::vec((0u64..300, 0u64..200), 0..8)) {
            let mut map = [0; 4];
            let mut model = [false; 256];
            for (first, count) in ranges {
                set(&mut map, first, count);
                for bit in first..first + count {
                    if let Some(bit) = model.get_mut(bit as usize) {
                        *bit = true;
                    }
                }
            }
            prop_assert_eq!(bits(&map, 256), model.to_vec());
        }

        #[test]
        fn shifted_places_each_bit(
            map in prop::collection::vec(any::<u64>(), 3),
            count in 1u64..=192,
            shift in 0u32..64,
            head in any::<u64>(),
        ) {
            let mut map = map;
            for bit in count..192 {
                map[bit as usize / 64] &= !(1 << (bit % 64));
            }
            let out: Vec<_> = shifted(&map, count, shift, head).collect();
            prop_assert_eq!(out.len() as u64, words(count + u64::from(shift)));
            let mut model = bits(&[head], shift as usize);
            model.extend(bits(&map, count as usize));
            model.resize(out.len() * 64, false);
            prop_assert_eq!(bits(&out, out.len() * 64), model);
        }
    }

    #[test]
    fn set_at_the_end_of_what_can_be_counted() {
        let mut map = vec![0; 2];
        set(&mut map, 127, u64::MAX);
        assert_eq!(map, [0, 1 << 63]);
        set(&mut map, u64::MAX, 1);
        assert_eq!(map, [0, 1 << 63]);
        clear(&mut map);
        assert_eq!(map, [0, 0]);
    }

    #[test]
    fn placement() {
        assert_eq!(
            Placement::new(0x41_000, 12),
            Placement { word: 1, shift: 1 }
        );
    }
}

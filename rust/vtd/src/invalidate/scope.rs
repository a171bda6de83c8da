// SPDX-License-Identifier: GPL-2.0

//! Which page-selective invalidations cover a range of addresses.
//!
//! One descriptor covers a power of two of pages at an address aligned to that size. A range that
//! lies badly needs a cover much larger than itself, at worst the whole address space for two
//! pages, and every page too many costs the devices a table walk. Two blocks, one on each side of
//! the range's most aligned point, always cover it with less than as much again.

use siov_types::{Iova, IovaRange, PAGE_SHIFT};

/// A power of two of 4 KiB pages, aligned to its size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pages {
    /// First byte.
    pub addr: Iova,
    /// log2 of the number of pages; 52 for the whole address space.
    pub mask: u8,
}

impl Pages {
    /// The whole address space.
    pub const ALL: Self = Self {
        addr: Iova::new(0),
        mask: 52,
    };

    /// The block of 2^`mask` pages, at most 2^52, that holds page number `page`.
    #[inline]
    const fn around(page: u64, mask: u8) -> Self {
        let addr = Iova::new(page << PAGE_SHIFT).align_down(Self::bytes(mask));
        Self { addr, mask }
    }

    /// Size of 2^`mask` pages; 0 stands for the whole address space, as in wrapping arithmetic.
    #[inline]
    const fn bytes(mask: u8) -> u64 {
        match 1u64.checked_shl(PAGE_SHIFT + mask as u32) {
            Some(bytes) => bytes,
            None => 0,
        }
    }

    /// The smallest block that covers `range`.
    #[inline]
    pub const fn enclosing(range: IovaRange) -> Self {
        let first = range.first().raw() >> PAGE_SHIFT;
        let last = range.last().raw() >> PAGE_SHIFT;
        Self::around(first, bit_length(first ^ last))
    }

    /// The block that `range`, rounded out to pages, is; `None` when it is not exactly one.
    #[inline]
    const fn exact(range: IovaRange) -> Option<Self> {
        const IN_PAGE: u64 = (1 << PAGE_SHIFT) - 1;
        let first = range.first().raw() & !IN_PAGE;
        // The bits in which the ends differ: all those below some bit, and clear in the first, when
        // the range is a block.
        let span = first ^ (range.last().raw() | IN_PAGE);
        if span & span.wrapping_add(1) == 0 && first & span == 0 {
            Some(Self {
                addr: Iova::new(first),
                mask: bit_length(span >> PAGE_SHIFT),
            })
        } else {
            None
        }
    }

    /// The block of the same size after this one; after the last, the first.
    #[inline]
    const fn following(self) -> Self {
        Self {
            addr: Iova::new(self.addr.raw().wrapping_add(Self::bytes(self.mask))),
            mask: self.mask,
        }
    }

    /// The range of addresses in the block.
    pub const fn range(self) -> IovaRange {
        let last = self
            .addr
            .raw()
            .wrapping_add(Self::bytes(self.mask))
            .wrapping_sub(1);
        match IovaRange::new(self.addr, Iova::new(last)) {
            Some(range) => range,
            None => IovaRange::ALL,
        }
    }
}

/// How much one invalidation covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// All that is cached for the domain, or for the PASID.
    Domain,
    /// Some pages.
    Pages(Pages),
}

/// The invalidations that cover a range: an iterator over at most `N` scopes, which are either the
/// domain alone or blocks of pages in rising order.
#[derive(Clone, Debug)]
pub struct Cover<const N: usize> {
    /// What comes first; `None` once it has been taken.
    head: Option<Scope>,
    /// What follows: blocks of one size, side by side.
    run: Pages,
    count: usize,
}

impl<const N: usize> Cover<N> {
    /// Covers `range` where one invalidation takes up to 2^`max_mask` pages, or none at all by
    /// page: [`Capability::max_address_mask`](crate::Capability::max_address_mask).
    ///
    /// One block where that takes no more than as much again as the range; two where that is much
    /// less; blocks of the largest size for a range larger than that; the domain when `N` blocks do
    /// not suffice.
    #[inline]
    pub const fn new(range: IovaRange, max_mask: Option<u8>) -> Self {
        const { assert!(N > 0, "at least one invalidation is needed") };
        match (Pages::exact(range), max_mask) {
            (_, None) => Self::one(Scope::Domain),
            (Some(block), Some(max)) if block.mask <= max => Self::one(Scope::Pages(block)),
            (_, Some(max)) => Self::several(range, max),
        }
    }

    /// Calls `f` for each scope of [`new`](Self::new): the same, with the shortest way for a
    /// range that is one block, as when one page of any size was unmapped.
    #[inline]
    pub fn for_each_scope(range: IovaRange, max_mask: Option<u8>, mut f: impl FnMut(Scope)) {
        match (Pages::exact(range), max_mask) {
            (_, None) => f(Scope::Domain),
            (Some(block), Some(max)) if block.mask <= max => f(Scope::Pages(block)),
            (_, Some(max)) => Self::several(range, max).for_each(f),
        }
    }

    #[inline]
    const fn one(scope: Scope) -> Self {
        Self {
            head: Some(scope),
            run: Pages::ALL,
            count: 0,
        }
    }

    /// Covers a range of at least two pages.
    #[inline(never)]
    const fn several(range: IovaRange, max_mask: u8) -> Self {
        let first = range.first().raw() >> PAGE_SHIFT;
        let last = range.last().raw() >> PAGE_SHIFT;
        let mask = bit_length(first ^ last);
        // No overflow: page numbers have 52 bits.
        let pages = last - first + 1;
        // At least half of the block is in the range.
        let little_waste = bit_length(pages) >= mask;
        if mask <= max_mask && (N < 2 || little_waste) {
            return Self::one(Scope::Pages(Pages::around(first, mask)));
        }

        // The range's most aligned page number: the left block ends there, the right one starts.
        let middle = Pages::around(last, mask - 1);
        let middle_page = middle.addr.raw() >> PAGE_SHIFT;
        let left = bit_length(middle_page - 1 - first);
        let right = bit_length(last - middle_page);
        if N >= 2 && left <= max_mask && right <= max_mask {
            return Self {
                head: Some(Scope::Pages(Pages::around(first, left))),
                run: Pages {
                    addr: middle.addr,
                    mask: right,
                },
                count: 1,
            };
        }

        // Here the range does not fit one block of the largest size, or two halves would have done.
        let head = Pages::around(first, max_mask);
        let tail = Pages::around(last, max_mask);
        let more = (tail.addr.raw() - head.addr.raw()) >> (PAGE_SHIFT + max_mask as u32);
        if more < N as u64 {
            return Self {
                head: Some(Scope::Pages(head)),
                run: head.following(),
                count: more as usize,
            };
        }
        Self::one(Scope::Domain)
    }
}

impl<const N: usize> Iterator for Cover<N> {
    type Item = Scope;

    #[inline]
    fn next(&mut self) -> Option<Scope> {
        if let Some(scope) = self.head.take() {
            return Some(scope);
        }
        self.count = self.count.checked_sub(1)?;
        let block = self.run;
        self.run = block.following();
        Some(Scope::Pages(block))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        // Only once `head` has been taken does `count` go down, from less than `N`.
        let left = self.count.saturating_add(usize::from(self.head.is_some()));
        (left, Some(left))
    }
}

impl<const N: usize> ExactSizeIterator for Cover<N> {}
impl<const N: usize> core::iter::FusedIterator for Cover<N> {}

/// Number of bits up to the highest one that is set.
#[inline]
const fn bit_length(x: u64) -> u8 {
    (u64::BITS - x.leading_zeros()) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn range(first: u64, pages: u64) -> IovaRange {
        IovaRange::from_len(Iova::new(first << 12), pages << 12).unwrap()
    }

    fn block(page: u64, mask: u8) -> Scope {
        let addr = Iova::new(page << 12);
        Scope::Pages(Pages { addr, mask })
    }

    fn cover<const N: usize>(first: u64, pages: u64, max_mask: u8) -> Vec<Scope> {
        Cover::<N>::new(range(first, pages), Some(max_mask)).collect()
    }

    #[test]
    fn one_page_is_one_block() {
        assert_eq!(cover::<4>(0x1234, 1, 18), [block(0x1234, 0)]);
        assert_eq!(cover::<4>(0x1234, 1, 0), [block(0x1234, 0)]);
        // A few bytes of a page are that page.
        let bytes = IovaRange::from_len(Iova::new(0x1fff), 1).unwrap();
        assert_eq!(
            Cover::<1>::new(bytes, Some(9)).collect::<Vec<_>>(),
            [block(1, 0)]
        );
        let bytes = IovaRange::from_len(Iova::new(0x1fff), 2).unwrap();
        assert_eq!(
            Cover::<2>::new(bytes, Some(9)).collect::<Vec<_>>(),
            [block(0, 2)]
        );
    }

    #[test]
    fn little_waste_takes_one_block_and_much_takes_two() {
        // Three pages of a block of four.
        assert_eq!(cover::<2>(4, 3, 18), [block(4, 2)]);
        // Two pages of a block of four.
        assert_eq!(cover::<2>(5, 2, 18), [block(4, 2)]);
        // Two pages of a block of sixteen.
        assert_eq!(cover::<2>(7, 2, 18), [block(7, 0), block(8, 0)]);
        assert_eq!(cover::<1>(7, 2, 18), [block(0, 4)]);
        // Two megabytes and a page, around 4 GiB.
        assert_eq!(
            cover::<2>(0xfffff, 513, 20),
            [block(0xfffff, 0), block(0x100000, 9)]
        );
    }

    #[test]
    fn what_no_block_covers_takes_several_or_the_domain() {
        // 4 GiB where the largest block has 1 GiB.
        let four: Vec<_> = (0..4).map(|i| block(i << 18, 18)).collect();
        assert_eq!(cover::<4>(0, 4 << 18, 18), four);
        assert_eq!(cover::<3>(0, 4 << 18, 18), [Scope::Domain]);
        // Off by one page, it touches a fifth block.
        assert_eq!(cover::<4>(1, 4 << 18, 18), [Scope::Domain]);
        assert_eq!(cover::<5>(1, 4 << 18, 18).len(), 5);
        assert_eq!(cover::<4>(0, 2, 0), [block(0, 0), block(1, 0)]);
    }

    #[test]
    fn the_ends_of_the_address_space() {
        let all = |max| Cover::<4>::new(IovaRange::ALL, max).collect::<Vec<_>>();
        assert_eq!(all(Some(18)), [Scope::Domain]);
        assert_eq!(all(Some(63)), [block(0, 52)]);
        assert_eq!(all(Some(52)), [block(0, 52)]);
        assert_eq!(all(Some(51)), [block(0, 51), block(1 << 51, 51)]);
        assert_eq!(all(None), vec![Scope::Domain]);
        assert_eq!(cover::<4>((1 << 52) - 1, 1, 18), [block((1 << 52) - 1, 0)]);
        assert_eq!(Pages::enclosing(IovaRange::ALL).range(), IovaRange::ALL);
    }

    fn check<const N: usize>(range: IovaRange, max_mask: Option<u8>) -> Result<(), TestCaseError> {
        let cover = Cover::<N>::new(range, max_mask);
        let count = cover.len();
        let scopes: Vec<_> = cover.collect();
        let mut same = Vec::new();
        Cover::<N>::for_each_scope(range, max_mask, |scope| same.push(scope));
        prop_assert_eq!(&scopes, &same);
        prop_assert_eq!(scopes.len(), count);
        prop_assert!((1..=N).contains(&count));
        if scopes.contains(&Scope::Domain) {
            prop_assert_eq!(count, 1);
            // Only if blocks of the largest size would be too many.
            if let Some(max) = max_mask {
                let blocks =
                    (range.last().raw() >> 12 >> max) - (range.first().raw() >> 12 >> max) + 1;
                prop_assert!(blocks > N as u64);
            }
            return Ok(());
        }
        let mut covered = None;
        let mut total = 0;
        for scope in &scopes {
            let Scope::Pages(pages) = scope else {
                unreachable!()
            };
            prop_assert!(Some(pages.mask) <= max_mask);
            prop_assert!(pages.mask == 52 || pages.addr.is_aligned(1 << 12 << pages.mask));
            total += 1u64 << pages.mask;
            let r = pages.range();
            match covered {
                None => prop_assert!(r.first() <= range.first()),
                // No hole and no overlap.
                Some(last) => prop_assert_eq!(r.first().raw(), last + 1),
            }
            covered = Some(r.last().raw());
        }
        prop_assert!(covered >= Some(range.last().raw()));
        // Nothing needless: each block holds a part of the range.
        let Scope::Pages(last) = scopes[count - 1] else {
            unreachable!()
        };
        prop_assert!(last.addr <= range.last());
        let pages = (range.last().raw() >> 12) - (range.first().raw() >> 12) + 1;
        let exact = range.first().is_aligned(1 << 12)
            && pages.is_power_of_two()
            && (range.first().raw() >> 12) & (pages - 1) == 0;
        if exact {
            prop_assert_eq!(total, pages);
        }
        if N >= 2 && max_mask >= Some(52) {
            prop_assert!(total <= 2 * pages);
        }
        Ok(())
    }

    fn ranges() -> impl Strategy<Value = IovaRange> {
        // Sizes of every order, at addresses of every alignment.
        (any::<u64>(), 0u32..64, any::<u64>(), 0u32..64).prop_filter_map("wraps", |(a, s, l, t)| {
            IovaRange::from_len(Iova::new(a >> s << (s / 2)), (l >> t).max(1))
        })
    }

    proptest! {
        #![proptest_config(crate::proptest_config::cases(4096))]
        #[test]
        fn covers_exactly_what_is_needed(r in ranges(), max in prop::option::of(0u8..64)) {
            check::<1>(r, max)?;
            check::<2>(r, max)?;
            check::<3>(r, max)?;
            check::<16>(r, max)?;
        }

        #[test]
        fn aligned_powers_of_two_are_exact(page in 0u64..1 << 40, order in 0u8..30, max in 0u8..64) {
            let first = page >> order << order;
            check::<2>(range(first, 1 << order), Some(max))?;
            if order <= max {
                prop_assert_eq!(cover::<2>(first, 1 << order, max), [block(first, order)]);
            }
        }

        #[test]
        fn enclosing_is_the_smallest(r in ranges()) {
            let p = Pages::enclosing(r);
            prop_assert!(p.range().first() <= r.first() && r.last() <= p.range().last());
            if let Some(half) = p.mask.checked_sub(1) {
                let middle = Iova::new(p.addr.raw() + (1 << (12 + half)));
                prop_assert!(r.first() < middle && middle <= r.last());
            }
        }
    }
}

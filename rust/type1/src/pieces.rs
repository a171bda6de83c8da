// SPDX-License-Identifier: GPL-2.0

//! What a range of IOVA is translated to, in as few pieces as there are.

use crate::run::Granule;
use siov_types::{Iova, IovaRange, PhysAddr};

/// Passes the pieces of `range`, which is not all of IOVA, to `visit`, in their order: where a
/// piece begins in memory, if it is translated, and its bytes.
///
/// Within a block of `granule` memory is in one piece, so `lookup` is called once for each block. A
/// piece consists of as many blocks as lie in one piece of memory. What is not translated comes
/// block by block. Nothing is translated to address 0, which is no memory of a process.
///
/// # Errors
///
/// The first one of `visit`, which is not called again.
#[inline(always)]
pub fn try_for_each_piece<E>(
    range: IovaRange,
    granule: Granule,
    mut lookup: impl FnMut(Iova) -> Option<PhysAddr>,
    mut visit: impl FnMut(Option<PhysAddr>, u64) -> Result<(), E>,
) -> Result<(), E> {
    // With 0 for `None`, which is what the kernel says, a look-up is one word. All distances may be
    // below 0.
    let mut lookup = |iova| lookup(iova).map_or(0, PhysAddr::raw);
    let mut visit = |phys, bytes| visit((phys != 0).then_some(PhysAddr::new(phys)), bytes);
    let mut first = range.first();
    let mut phys = lookup(first);
    let mut from = first;
    loop {
        let last = granule.last_of_block(from);
        if last >= range.last() {
            let rest = range.last().raw().wrapping_sub(first.raw());
            return visit(phys, rest.wrapping_add(1));
        }
        // There is an address above `last`.
        from = last.wrapping_add(1);
        let ahead = lookup(from);
        let (before, after) = (
            phys.wrapping_sub(first.raw()),
            ahead.wrapping_sub(from.raw()),
        );
        if before != after || phys == 0 || ahead == 0 {
            visit(phys, from.raw().wrapping_sub(first.raw()))?;
            (first, phys) = (from, ahead);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use crate::proptest_config::cases;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    const PAGE: u64 = 4096;

    /// Frames side by side, or pages that are not translated, in lengths as memory is allocated.
    fn pages() -> impl Strategy<Value = Vec<Option<u64>>> {
        let some = (any::<bool>(), 1u64..64, 1u64..9);
        prop::collection::vec(some, 1..12).prop_map(|parts| {
            let pages = parts.iter().flat_map(|(translated, first, len)| {
                (*first..first + len).map(move |frame| translated.then_some(frame))
            });
            pages.collect()
        })
    }

    fn follows(before: Option<u64>, after: Option<u64>) -> bool {
        before.is_some() && after == before.map(|frame| frame + 1)
    }

    /// Pieces, found page by page.
    fn naive(pages: &[Option<u64>]) -> Vec<(Option<u64>, u64)> {
        let mut pieces: Vec<(Option<u64>, u64)> = Vec::new();
        for (index, page) in pages.iter().enumerate() {
            match pieces.last_mut() {
                Some((_, len)) if follows(pages[index - 1], *page) => *len += PAGE,
                _ => pieces.push((page.map(|frame| frame * PAGE), PAGE)),
            }
        }
        pieces
    }

    fn collect(
        range: IovaRange,
        granule: Granule,
        lookup: impl FnMut(Iova) -> Option<PhysAddr>,
    ) -> Vec<(Option<u64>, u64)> {
        let mut pieces = Vec::new();
        let result: Result<(), ()> = try_for_each_piece(range, granule, lookup, |phys, bytes| {
            pieces.push((phys.map(PhysAddr::raw), bytes));
            Ok(())
        });
        result.unwrap();
        pieces
    }

    proptest! {
        #![proptest_config(cases(512))]

        #[test]
        fn pieces_are_those_of_single_pages(pages in pages(), start in 0u64..64, top in any::<bool>()) {
            let bytes = pages.len() as u64 * PAGE;
            let first = if top { 0u64.wrapping_sub(bytes) } else { start * PAGE };
            let iova = |page: usize| Iova::new(first + page as u64 * PAGE);
            let mut granule = Granule::default();
            for page in 1..pages.len() {
                if !follows(pages[page - 1], pages[page]) {
                    granule.note_break(iova(page));
                }
            }
            let range = IovaRange::from_len(iova(0), bytes).unwrap();
            let mut looked_up = vec![0; pages.len()];
            let found = collect(range, granule, |iova| {
                let page = ((iova.raw() - first) / PAGE) as usize;
                looked_up[page] += 1;
                pages[page].map(|frame| PhysAddr::new(frame * PAGE))
            });
            prop_assert_eq!(found, naive(&pages));
            // Once where a block begins, and nowhere else.
            for (page, times) in looked_up.into_iter().enumerate() {
                let begins = page == 0 || iova(page).raw() % (1 << granule.shift()) == 0;
                prop_assert_eq!(times, i32::from(begins));
            }
        }
    }

    #[test]
    fn a_piece_can_be_all_there_is() {
        let range = IovaRange::from_len(Iova::new(PAGE), u64::MAX - PAGE).unwrap();
        let mut granule = Granule::default();
        granule.note_break(Iova::new(1 << 62));
        let same = |iova: Iova| Some(PhysAddr::new(iova.raw()));
        let all = collect(range, granule, same);
        assert_eq!(all, [(Some(PAGE), u64::MAX - PAGE)]);
    }

    #[test]
    fn an_error_ends_it() {
        let range = IovaRange::from_len(Iova::new(0), 4 * PAGE).unwrap();
        let mut granule = Granule::default();
        granule.note_break(Iova::new(PAGE));
        let mut visits = 0;
        let result = try_for_each_piece(
            range,
            granule,
            |_| None,
            |_, _| {
                visits += 1;
                if visits == 2 {
                    Err("second")
                } else {
                    Ok(())
                }
            },
        );
        assert_eq!((result, visits), (Err("second"), 2));
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Out of the tables: frames are read from a table, taken out of all, and unpinned when the hardware has
//! forgotten them.

use crate::group::domain::Domain;
use crate::space::mapping::Mapping;
use crate::sys::pin;
use crate::sys::table::Lookup;
use kernel::prelude::*;
use siov_type1::run::{Extent, Extents, Granule};
use siov_types::PAGE_SIZE;

/// Extents between two invalidations: two pages of memory for them.
const BATCH: usize = 512;

/// And as many as fit on the stack, when there is no memory: taking out must not fail.
const SMALL_BATCH: usize = 8;

/// No memory, which no other follows: frames begin at multiples of their size.
const NONE: Extent = Extent {
    phys: u64::MAX,
    len: 0,
};

/// The frames that a domain translates a range to, one lookup for each block within which they follow
/// each other.
pub(super) struct Frames<'a> {
    lookup: Lookup<'a>,
    iova: u64,
    left: u64,
    granule: Granule,
}

impl<'a> Frames<'a> {
    pub(super) fn new(domain: &'a Domain, iova: u64, size: u64, granule: Granule) -> Self {
        Self {
            lookup: domain.table().lookup(),
            iova,
            left: size,
            granule,
        }
    }
}

impl Iterator for Frames<'_> {
    type Item = Extent;

    #[inline]
    fn next(&mut self) -> Option<Extent> {
        if self.left == 0 {
            return None;
        }
        let extent = Extent {
            phys: self.lookup.phys(self.iova),
            len: self.granule.rest_of_block(self.iova, self.left),
        };
        self.iova = self.iova.wrapping_add(extent.len);
        self.left = self.left.wrapping_sub(extent.len);
        Some(extent)
    }
}

/// Takes `size` bytes from `iova` on out of the tables of all domains and unpins the frames.
pub(super) fn drain(domains: &[Domain], iova: u64, size: u64, mapping: &Mapping) {
    let Some((first, others)) = domains.split_first() else {
        return;
    };
    for domain in others {
        domain.table().unmap(iova, size);
        pin::cond_resched();
    }

    let mut small = [Extent::default(); SMALL_BATCH];
    let mut large = room_for(size, mapping.granule);
    let mut batch = Extents::new(match &mut large {
        Some(large) => large,
        None => &mut small,
    });
    let mut start = iova;
    let mut open = NONE;
    for extent in Frames::new(first, iova, size, mapping.granule) {
        if extent.phys == open.phys.wrapping_add(open.len) {
            open.len = open.len.wrapping_add(extent.len);
            continue;
        }
        if !batch.push(open) {
            flush(first, &mut start, &mut batch, mapping);
            batch.push(open);
        }
        open = extent;
        if kernel::warn_on!(extent.phys == 0) {
            // Nothing was pinned here, and nothing is to be taken out.
            flush(first, &mut start, &mut batch, mapping);
            start = start.wrapping_add(extent.len);
            open = NONE;
        }
    }
    if !batch.push(open) {
        flush(first, &mut start, &mut batch, mapping);
        batch.push(open);
    }
    flush(first, &mut start, &mut batch, mapping);
}

/// Memory for as many extents as a mapping can have; `None` where the stack has enough, or where there is
/// no memory.
fn room_for(size: u64, granule: Granule) -> Option<KVec<Extent>> {
    let blocks = (size >> granule.shift()).saturating_add(2);
    let pages = size / PAGE_SIZE;
    let needed = usize::try_from(blocks.min(pages)).map_or(BATCH, |n| n.min(BATCH));
    if needed <= SMALL_BATCH {
        return None;
    }
    KVec::from_elem(Extent::default(), needed, GFP_KERNEL | __GFP_NOWARN).ok()
}

/// Takes the frames of `batch`, which are mapped from `start` on, out of the last table that has them,
/// unpins them and moves `start` behind them. A run of frames is never split here, as an entry of the table may span all of it.
fn flush(domain: &Domain, start: &mut u64, batch: &mut Extents<'_>, mapping: &Mapping) {
    let wanted = batch.bytes();
    if wanted == 0 {
        return;
    }
    let done = domain.table().unmap(*start, wanted);
    *start = start.wrapping_add(wanted);
    // Frames that hardware may still write to keep their pins.
    kernel::warn_on!(done < wanted);
    let mut left = done;
    for extent in batch.as_slice() {
        let Some(rest) = left.checked_sub(extent.len) else {
            break;
        };
        left = rest;
        // SAFETY: Pinned when they were mapped, where they are memory, and out of all tables now.
        unsafe { pin::unpin(*extent, mapping.access().writes(), !mapping.has_bare_frames) };
    }
    batch.clear();
    pin::cond_resched();
}

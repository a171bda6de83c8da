// SPDX-License-Identifier: GPL-2.0

//! Out of the tables: frames are read from a table, taken out of all, and unpinned when the hardware has
//! forgotten them.

use crate::domain::Domain;
use crate::mapping::Mapping;
use crate::pin;
use kernel::prelude::*;
use siov_type1::run::{Extent, Extents, Granule};
use siov_types::PAGE_SIZE;

/// Extents between two invalidations: two pages of memory for them.
const BATCH: usize = 512;

/// And as many as fit on the stack, when there is no memory: taking out must not fail.
const SMALL_BATCH: usize = 8;

/// The frames that a domain translates a range to, one lookup for each block within which they follow
/// each other.
pub(super) struct Frames<'a> {
    domain: &'a Domain,
    iova: u64,
    left: u64,
    granule: Granule,
}

impl<'a> Frames<'a> {
    pub(super) fn new(domain: &'a Domain, iova: u64, size: u64, granule: Granule) -> Self {
        Self {
            domain,
            iova,
            left: size,
            granule,
        }
    }

    /// The next frames without moving on.
    #[inline]
    fn peek(&self) -> Option<Extent> {
        if self.left == 0 {
            return None;
        }
        Some(Extent {
            phys: self.domain.table().lookup(self.iova),
            len: self.granule.rest_of_block(self.iova, self.left),
        })
    }

    #[inline]
    fn advance(&mut self, len: u64) {
        self.iova = self.iova.wrapping_add(len);
        self.left = self.left.saturating_sub(len);
    }
}

impl Iterator for Frames<'_> {
    type Item = Extent;

    #[inline]
    fn next(&mut self) -> Option<Extent> {
        let extent = self.peek()?;
        self.advance(extent.len);
        Some(extent)
    }
}

/// Takes `size` bytes from `iova` on out of the tables of all domains and unpins the frames. How many of
/// them are somebody's memory, pages that the process was charged for.
pub(super) fn drain(domains: &[Domain], iova: u64, size: u64, mapping: &Mapping) -> u64 {
    let Some((first, others)) = domains.split_first() else {
        return 0;
    };
    for domain in others {
        domain.table().unmap(iova, size);
        pin::cond_resched();
    }

    let mut small = [Extent::default(); SMALL_BATCH];
    let mut large = KVec::new();
    let needed = usize::try_from(size / PAGE_SIZE).unwrap_or(BATCH).min(BATCH);
    if needed > SMALL_BATCH {
        // Not many blocks, not many extents.
        let blocks = (size >> mapping.granule.shift()).saturating_add(2);
        let needed = needed.min(blocks as usize);
        if needed > SMALL_BATCH {
            let _ = large.resize(needed, Extent::default(), GFP_KERNEL | __GFP_NOWARN);
        }
    }
    let room = if large.is_empty() { &mut small[..] } else { &mut large[..] };

    let mut batch = Extents::new(room);
    let mut frames = Frames::new(first, iova, size, mapping.granule);
    let mut start = iova;
    let mut unpinned = 0u64;
    while let Some(extent) = frames.peek() {
        if kernel::warn_on!(extent.phys == 0) {
            // Pages that were never pinned: nothing to take out.
            unpinned = unpinned.wrapping_add(flush(first, start, &mut batch, mapping));
            frames.advance(PAGE_SIZE);
            start = frames.iova;
        } else if batch.push(extent) {
            frames.advance(extent.len);
        } else {
            unpinned = unpinned.wrapping_add(flush(first, start, &mut batch, mapping));
            start = frames.iova;
        }
    }
    unpinned.wrapping_add(flush(first, start, &mut batch, mapping))
}

/// Takes the frames of `batch`, which are mapped from `iova` on, out of the last table that has them, and
/// unpins them. A run of frames is never split here, as an entry of the table may span all of it.
fn flush(domain: &Domain, iova: u64, batch: &mut Extents<'_>, mapping: &Mapping) -> u64 {
    let wanted = batch.bytes();
    if wanted == 0 {
        return 0;
    }
    let done = domain.table().unmap(iova, wanted);
    // Frames that hardware may still write to keep their pins.
    kernel::warn_on!(done < wanted);
    let mut left = done;
    let mut unpinned = 0u64;
    for extent in batch.as_slice() {
        let Some(rest) = left.checked_sub(extent.len) else {
            break;
        };
        left = rest;
        // SAFETY: Pinned when they were mapped, where they are memory, and out of all tables now.
        let pages = unsafe {
            pin::unpin(*extent, mapping.access().writes(), !mapping.has_bare_frames)
        };
        unpinned = unpinned.wrapping_add(pages);
    }
    batch.clear();
    pin::cond_resched();
    unpinned
}

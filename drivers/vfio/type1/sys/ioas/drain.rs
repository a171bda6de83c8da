// SPDX-License-Identifier: GPL-2.0

//! Out of the domains: frames are read back from one domain, unmapped in all, and unpinned when the
//! hardware translates to them no longer.

use super::Frames;
use crate::sys::domain::Domain;
use crate::sys::iommu::Lookup;
use crate::sys::pin;
use kernel::prelude::*;
use siov_type1::run::{Extent, Extents, Granule};
use siov_types::{Iova, PageCount, PhysAddr};

/// Extents between two invalidations: two pages of memory for them.
const BATCH: usize = 512;

/// And as many as fit on the stack, when there is no memory: unmapping must not fail.
const SMALL_BATCH: usize = 8;

/// What a domain translates a range to, one lookup for each block within which frames follow each
/// other.
pub(super) struct Blocks<'a> {
    lookup: Lookup<'a>,
    iova: Iova,
    left: u64,
    granule: Granule,
}

impl<'a> Blocks<'a> {
    /// # Safety
    ///
    /// As long as it lives, no other thread uses these addresses in `domain`.
    pub(super) unsafe fn new(domain: &'a Domain, first: Iova, size: u64, granule: Granule) -> Self {
        Self {
            // SAFETY: As required of us.
            lookup: unsafe { domain.iommu().lookup() },
            iova: first,
            left: size,
            granule,
        }
    }
}

impl Iterator for Blocks<'_> {
    /// Where a block begins, if it is translated, and its bytes.
    type Item = (Option<PhysAddr>, u64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let phys = self.lookup.phys(self.iova);
        let len = self.granule.rest_of_block(self.iova, self.left);
        self.iova = self.iova.wrapping_add(len);
        self.left -= len;
        Some((phys, len))
    }
}

/// Unmaps `size` bytes from `first` on in all `domains`, and unpins what they were translated to.
///
/// # Safety
///
/// They are an area, or the front of one, which all of `domains` translate, and the caller sees to
/// it that no other domain does, and that nothing else uses them in these domains meanwhile.
/// `frames` are those of the area.
pub(super) unsafe fn drain(domains: &[Domain], first: Iova, size: u64, frames: Frames) {
    let Some((last, others)) = domains.split_first() else {
        return;
    };
    let mut unmapped = true;
    for domain in others {
        // SAFETY: The caller is the only user of the range, as required of us.
        unmapped &= unsafe { domain.iommu().unmap(first, size) } == size;
        pin::cond_resched();
    }
    // What hardware may still write to keeps its pins.
    kernel::warn_on!(!unmapped);

    // Nothing is to be undone of an area that was not begun.
    if size == 0 {
        return;
    }
    if frames.granule.rest_of_block(first, size) == size {
        // SAFETY: As required of us.
        unsafe { drain_block(last, first, size, frames, unmapped) };
        return;
    }
    let mut small = [Extent::NONE; SMALL_BATCH];
    let mut large = room_for(size, frames.granule);
    let mut batch = Batch {
        domain: last,
        frames,
        unpins: unmapped,
        start: first,
        extents: Extents::new(match &mut large {
            Some(large) => large,
            None => &mut small,
        }),
    };
    let mut open = Extent::NONE;
    // SAFETY: As above.
    let blocks = unsafe { Blocks::new(last, first, size, frames.granule) };
    for (phys, len) in blocks {
        let Some(phys) = phys else {
            batch.skip(open, len);
            open = Extent::NONE;
            continue;
        };
        let extent = Extent { phys, len };
        if !open.grow(extent) {
            batch.push(open);
            open = extent;
        }
    }
    batch.push(open);
    batch.flush();
}

/// [`drain`] for a range within one block, the only extent of which is this: `unpins` when other
/// domains have it no longer.
///
/// # Safety
///
/// As for [`drain`].
unsafe fn drain_block(domain: &Domain, first: Iova, size: u64, frames: Frames, unpins: bool) {
    // SAFETY: The caller is the only user of the range, as required of us.
    let phys = unsafe { domain.iommu().lookup() }.phys(first);
    let Some(phys) = phys else {
        // It should be translated: nothing is to be unmapped, and what may be pinned is not known.
        kernel::warn_on!(true);
        return;
    };
    // SAFETY: As above.
    let done = unsafe { domain.iommu().unmap(first, size) };
    // What hardware may still write to keeps its pins.
    if !kernel::warn_on!(done < size) && unpins {
        // SAFETY: As in `Batch::flush`.
        unsafe { frames.unpin(Extent { phys, len: size }) };
    }
    pin::cond_resched();
}

/// Memory for as many extents as an area can have; `None` where the stack has enough, or where
/// there is no memory.
fn room_for(size: u64, granule: Granule) -> Option<KVec<Extent>> {
    let blocks = (size >> granule.shift()).saturating_add(2);
    let pages = PageCount::in_bytes(size).raw();
    let needed = usize::try_from(blocks.min(pages)).map_or(BATCH, |n| n.min(BATCH));
    if needed <= SMALL_BATCH {
        return None;
    }
    KVec::from_elem(Extent::NONE, needed, GFP_KERNEL | __GFP_NOWARN).ok()
}

/// Extents that the last domain that has them translates from `start` on.
struct Batch<'a> {
    domain: &'a Domain,
    frames: Frames,
    /// All other domains have them no longer.
    unpins: bool,
    start: Iova,
    extents: Extents<'a>,
}

impl Batch<'_> {
    /// Adds an extent, or nothing.
    #[inline]
    fn push(&mut self, extent: Extent) {
        if !self.extents.push(extent) {
            self.flush();
            self.extents.push(extent);
        }
    }

    /// Adds `extent`, then skips `len` bytes that are not translated, though they should be:
    /// nothing is to be unmapped, and what may be pinned is not known.
    #[cold]
    fn skip(&mut self, extent: Extent, len: u64) {
        kernel::warn_on!(true);
        self.push(extent);
        self.flush();
        self.start = self.start.wrapping_add(len);
    }

    /// Unmaps the extents, unpins them and moves `start` past them. A run of frames is not split
    /// here, as one entry of the page table may span all of it.
    fn flush(&mut self) {
        let wanted = self.extents.bytes();
        if wanted == 0 {
            return;
        }
        // SAFETY: Part of the range that `drain` is the only user of.
        let done = unsafe { self.domain.iommu().unmap(self.start, wanted) };
        self.start = self.start.wrapping_add(wanted);
        // What hardware may still write to keeps its pins.
        kernel::warn_on!(done < wanted);
        let mut left = if self.unpins { done } else { 0 };
        for extent in self.extents.as_slice() {
            let Some(rest) = left.checked_sub(extent.len) else {
                break;
            };
            left = rest;
            // SAFETY: They are those that the domain translated to, so that each that is memory was
            // pinned when the area was mapped. No domain has them any more, and the area no longer
            // has this pin.
            unsafe { self.frames.unpin(*extent) };
        }
        self.extents.clear();
        pin::cond_resched();
    }
}

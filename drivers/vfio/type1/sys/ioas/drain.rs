// SPDX-License-Identifier: GPL-2.0

//! Out of the domains: frames are read back from one domain, unmapped in all, and unpinned when the
//! hardware translates to them no longer.

use super::revocable::{try_for_each_memory, Revocable};
use super::{Area, Frames};
use crate::sys::domain::Domain;
use crate::sys::pin;
use core::convert::Infallible;
use kernel::prelude::*;
use siov_type1::pieces::try_for_each_piece;
use siov_type1::run::{Extent, Extents, Granule};
use siov_types::{Iova, IovaRange, PageCount, PhysAddr};

/// Extents between two invalidations: two pages of memory for them.
const BATCH: usize = 512;

/// And as many as fit on the stack, when there is no memory: unmapping must not fail.
const SMALL_BATCH: usize = 8;

/// Passes what `domain` translates a range to to `visit`, as [`try_for_each_piece`] does.
///
/// # Errors
///
/// The first one of `visit`.
///
/// # Safety
///
/// No other thread uses these addresses in `domain` meanwhile.
#[inline(always)]
pub(super) unsafe fn try_for_each<E>(
    domain: &Domain,
    range: IovaRange,
    granule: Granule,
    mut visit: impl FnMut(Option<PhysAddr>, u64) -> Result<(), E>,
) -> Result<(), E> {
    // SAFETY: As required of us.
    let Some(lookup) = (unsafe { domain.iommu().lookup() }) else {
        // Nothing is known of it.
        return visit(None, range.size().unwrap_or(u64::MAX));
    };
    try_for_each_piece(range, granule, |iova| lookup.phys(iova), visit)
}

impl<M> Area<M> {
    /// Unmaps `range` in all `domains`, and unpins what it was translated to. `revocable` is what
    /// it has of that, which is dropped.
    ///
    /// # Safety
    ///
    /// It is that of the area, or the front of it, which all of `domains` translate, and the caller
    /// sees to it that no other domain does, and that nothing else uses it in these domains
    /// meanwhile.
    #[inline]
    pub(super) unsafe fn drain(
        &self,
        domains: &[Domain],
        range: IovaRange,
        revocable: Option<Revocable>,
    ) {
        let Ok(()) = try_for_each_memory(revocable.as_ref(), range, |memory| {
            let size = memory.size().unwrap_or(u64::MAX);
            // SAFETY: As required of us.
            unsafe { drain(domains, memory.first(), size, self.frames) };
            Ok::<_, Infallible>(())
        });
    }
}

/// Unmaps `size` bytes from `first` on in all `domains`, and unpins the memory that they were
/// translated to.
///
/// # Safety
///
/// As of [`Area::drain`], for a part of the area that is memory; `frames` are those of the area.
#[inline]
unsafe fn drain(domains: &[Domain], first: Iova, size: u64, frames: Frames) {
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
    let Some(range) = IovaRange::from_len(first, size) else {
        return;
    };
    if frames.granule.last_of_block(first) >= range.last() {
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
    let visit = |phys, len| {
        match phys {
            Some(phys) => batch.push(Extent { phys, len }),
            None => batch.skip(len),
        }
        Ok::<_, Infallible>(())
    };
    // SAFETY: As above.
    let Ok(()) = unsafe { try_for_each(last, range, frames.granule, visit) };
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
    let lookup = unsafe { domain.iommu().lookup() };
    let phys = lookup.and_then(|lookup| lookup.phys(first));
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
    /// Adds an extent.
    #[inline]
    fn push(&mut self, extent: Extent) {
        if !self.extents.push(extent) {
            self.flush();
            self.extents.push(extent);
        }
    }

    /// Skips `len` bytes that are not translated, though they should be: nothing is to be unmapped,
    /// and what may be pinned is not known.
    #[cold]
    fn skip(&mut self, len: u64) {
        kernel::warn_on!(true);
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

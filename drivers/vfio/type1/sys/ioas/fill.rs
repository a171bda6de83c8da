// SPDX-License-Identifier: GPL-2.0

//! Into the domains: frames are pinned in batches, and mapped in runs as long as they follow each
//! other.

use super::drain::{drain, try_for_each};
use super::key::Key;
use super::{Frames, Memory, Pins};
use crate::error::Failure;
use crate::sys::domain::Domain;
use crate::sys::pin::{self, Found};
use kernel::prelude::*;
use siov_type1::run::{Extent, Run};
use siov_type1::Prot;
use siov_types::{Iova, PageCount, PhysAddr};

/// A run of frames that has not been mapped yet, because it may go on.
///
/// # Invariants
///
/// The frames of `extent` that are memory are pinned, and stay so until they are unmapped.
struct Pending<'a> {
    domains: &'a [Domain],
    start: Iova,
    extent: Extent,
    one_by_one: bool,
}

impl<'a> Pending<'a> {
    fn new(domains: &'a [Domain], start: Iova, one_by_one: bool) -> Self {
        Self {
            domains,
            start,
            extent: Extent::NONE,
            one_by_one,
        }
    }

    /// Adds an extent that comes after the pending run; maps that run first when it ends there.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver; the run is pending still, and the extent not taken.
    ///
    /// # Safety
    ///
    /// The frames of `extent` that are memory are pinned, and stay so until they are unmapped.
    #[inline]
    unsafe fn push(&mut self, extent: Extent, frames: &mut Frames) -> Result {
        if !self.extent.is_empty() {
            let follows = self.extent.is_followed_by(extent);
            // INVARIANT: As required of us.
            if !self.one_by_one && self.extent.grow(extent) {
                return Ok(());
            }
            self.flush(*frames)?;
            if !follows {
                frames.granule.note_break(self.start);
            }
        }
        // INVARIANT: As required of us.
        self.extent = extent;
        Ok(())
    }

    /// Maps the pending run in all domains.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver; no domain has the run then, and it is pending still.
    #[inline]
    fn flush(&mut self, frames: Frames) -> Result {
        if self.extent.is_empty() {
            return Ok(());
        }
        for (index, domain) in self.domains.iter().enumerate() {
            // SAFETY: By the invariant; `fill` and `copy` are the only users of the range.
            let mapped = unsafe { domain.iommu().map(self.start, self.extent, frames.prot) };
            if let Err(e) = mapped {
                self.unmap(index);
                return Err(e);
            }
        }
        self.start = self.start.wrapping_add(self.extent.len);
        self.extent = Extent::NONE;
        Ok(())
    }

    /// Unmaps the pending run in the first `count` domains.
    #[cold]
    fn unmap(&mut self, count: usize) {
        let len = self.extent.len;
        // SAFETY: Part of the range that `fill` and `copy` are the only users of.
        let unmap = |domain: &Domain| unsafe { domain.iommu().unmap(self.start, len) } == len;
        let unmapped = self.domains.iter().take(count).map(unmap);
        if kernel::warn_on!(!unmapped.fold(true, |all, one| all & one)) {
            // What hardware may still write to keeps its pins.
            self.extent = Extent::NONE;
        }
    }
}

/// Pins the memory of an area that no domain has, and maps it in `domains`.
///
/// The memory is that of the calling process at the address that `memory` says, which is charged
/// for it, but for what drivers have pinned.
///
/// # Errors
///
/// Those of pinning, charging and the IOMMU driver. Nothing is mapped or pinned then; what was
/// charged is the caller's to settle.
///
/// # Safety
///
/// No domain translates an address of the area, and nothing else uses it in `domains` meanwhile.
/// These translate it alike until it is drained in all of them, and new ones get it by [`copy`].
pub(super) unsafe fn fill<M: Memory>(
    domains: &[Domain],
    area: Key,
    frames: &mut Frames,
    pins: &Pins,
    memory: &mut M,
    one_by_one: bool,
) -> Result<(), Failure> {
    let mut pending = Pending::new(domains, area.first(), one_by_one);
    // SAFETY: As required of us; what is mapped when it fails is drained below.
    let result = unsafe { fill_pending(&mut pending, area, frames, pins, memory) };
    if result.is_err() {
        // SAFETY: Pinned by `fill_pending`, where it is memory; no domain has it, nor will any.
        unsafe { frames.unpin(pending.extent) };
        let done = pending.start.checked_sub(area.first()).unwrap_or(0);
        // SAFETY: This was mapped so far, in these domains only.
        unsafe { drain(domains, area.first(), done, *frames) };
    }
    result
}

/// As [`fill`], but leaves what is mapped or pending as it is when it fails.
///
/// # Safety
///
/// As of [`fill`].
unsafe fn fill_pending<M: Memory>(
    pending: &mut Pending<'_>,
    area: Key,
    frames: &mut Frames,
    pins: &Pins,
    memory: &mut M,
) -> Result<(), Failure> {
    let current = current!();
    let mm = current.mm().ok_or(ENODEV)?;
    let start = memory.vaddr()?;
    let writes = frames.prot.contains(Prot::WRITE);
    let all = PageCount::in_bytes(area.size());
    let most = if pending.one_by_one {
        PageCount::ONE
    } else {
        all
    };
    let room = pin::BATCH.min(most.raw() as usize);
    let mut batch = KVec::with_capacity(room, GFP_KERNEL)?;
    batch.resize(room, 0u64, GFP_KERNEL)?;

    let mut left = all;
    let mut done = 0u64;
    while left != PageCount::ZERO {
        pin::cond_resched();
        let iova = area.first().checked_add(done).ok_or(EINVAL)?;
        let vaddr = start.checked_add(done as usize).ok_or(EFAULT)?;
        let pages = match pin::find_own(mm, vaddr, left.min(most), writes, &mut batch)? {
            Found::Frames(pfn, pages) => {
                frames.has_bare = true;
                // SAFETY: They are no memory.
                unsafe { pending.push(Extent::new(pfn, pages), frames) }?;
                pages
            }
            Found::Pages(pages) => {
                let found = batch.get_mut(..pages).ok_or(EFAULT)?;
                let runs = pin::runs_of(found);
                let pages = PageCount::new(pages as u64).ok_or(EFAULT)?;
                let runs = batch.get(..runs).unwrap_or(&[]);
                // What drivers have pinned is paid for.
                let charged = pages.saturating_sub(pins.within(iova, pages));
                // SAFETY: These frames were pinned for us.
                unsafe { push_runs(pending, runs, frames, || memory.charge(charged)) }?;
                pages
            }
        };
        left = left.checked_sub(pages).ok_or(EFAULT)?;
        done += pages.bytes();
    }
    Ok(pending.flush(*frames)?)
}

/// Has `charge` charge for the frames of `runs`, and adds them to those that are pending.
///
/// # Errors
///
/// Those of `charge` and of the IOMMU driver; of the frames only those are pinned then that are
/// mapped or pending.
///
/// # Safety
///
/// The frames are pinned for the caller, who leaves the pins to this function.
unsafe fn push_runs(
    pending: &mut Pending<'_>,
    runs: &[u64],
    frames: &mut Frames,
    charge: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut runs = runs.iter().map(|run| Run::from_raw(*run).extent());
    let result = charge().and_then(|()| {
        runs.try_for_each(|extent| {
            // SAFETY: Pinned, as required of us.
            unsafe { pending.push(extent, frames) }.map_err(|e| {
                // SAFETY: Pinned, as required of us, and not taken.
                unsafe { frames.unpin(extent) };
                e.into()
            })
        })
    });
    for extent in runs {
        // SAFETY: Pinned, as required of us.
        unsafe { frames.unpin(extent) };
    }
    result
}

/// Maps in `new` what `known` translates for an area.
///
/// # Errors
///
/// Those of the IOMMU driver, `EINVAL` where `known` does not translate all of it. Nothing is
/// mapped in `new` then.
///
/// # Safety
///
/// `known` translates the area, `new` nothing of it, and nothing else uses it in these domains
/// meanwhile. As long as `new` does, it is not drained in other domains alone.
pub(super) unsafe fn copy(known: &Domain, new: &Domain, area: Key, frames: Frames) -> Result {
    let mut pending = Pending::new(core::slice::from_ref(new), area.first(), false);
    // All breaks are noted.
    let mut noted = frames;
    let visit = |phys: Option<PhysAddr>, len| {
        kernel::warn_on!(phys.is_none());
        let phys = phys.ok_or(EINVAL)?;
        // SAFETY: What a domain translates to is pinned, until the area is drained in all domains.
        unsafe { pending.push(Extent { phys, len }, &mut noted) }
    };
    // SAFETY: The caller is the only user of the area, as required of us.
    let result = unsafe { try_for_each(known, area.range(), frames.granule, visit) }
        .and_then(|()| pending.flush(frames));
    if result.is_err() {
        let done = pending.start.checked_sub(area.first()).unwrap_or(0);
        // SAFETY: As above.
        unsafe { new.iommu().unmap(area.first(), done) };
    }
    result
}

// SPDX-License-Identifier: GPL-2.0

//! Into the tables: frames are pinned in batches, and mapped in runs as long as they follow each other.

use super::drain::Frames;
use super::Failure;
use crate::group::domain::Domain;
use crate::space::mapping::Mapping;
use crate::sys::pin::{self, Found};
use kernel::prelude::*;
use siov_type1::run::{coalesce, Extent, Run};
use siov_types::PAGE_SHIFT;

/// A run of frames that has not been mapped yet, because it may go on.
struct Pending<'a> {
    domains: &'a [Domain],
    start: u64,
    extent: Extent,
    one_by_one: bool,
}

impl Pending<'_> {
    /// Adds an extent that belongs behind the pending run; maps that run first when it ends there.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver; the run is pending still, and the extent not taken.
    #[inline]
    fn push(&mut self, extent: Extent, mapping: &mut Mapping) -> Result {
        if self.extent.len != 0 {
            let follows = self.extent.phys.wrapping_add(self.extent.len) == extent.phys;
            if follows && !self.one_by_one {
                self.extent.len = self.extent.len.wrapping_add(extent.len);
                return Ok(());
            }
            self.flush(mapping)?;
            if !follows {
                mapping.granule.note_break(self.start);
            }
        }
        self.extent = extent;
        Ok(())
    }

    /// Maps the pending run in all domains.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver; no domain has the run then, and it is pending still.
    #[inline]
    fn flush(&mut self, mapping: &Mapping) -> Result {
        if self.extent.len == 0 {
            return Ok(());
        }
        for (index, domain) in self.domains.iter().enumerate() {
            if let Err(e) = domain
                .table()
                .map(self.start, self.extent, mapping.access())
            {
                for done in self.domains.iter().take(index) {
                    done.table().unmap(self.start, self.extent.len);
                }
                return Err(e);
            }
        }
        self.start = self.start.wrapping_add(self.extent.len);
        self.extent.len = 0;
        Ok(())
    }
}

/// Pins the memory of `mapping` and maps it in `domains`. Returns the bytes that are mapped, and if they
/// are not all, why; of the rest nothing is pinned. What was charged for it is the caller's to settle, who
/// takes out what is mapped.
///
/// The memory is that of the calling process at the mapping's address.
pub(super) fn fill(
    domains: &[Domain],
    iova: u64,
    size: u64,
    mapping: &mut Mapping,
    one_by_one: bool,
) -> (u64, Result<(), Failure>) {
    let mut pending = Pending {
        domains,
        start: iova,
        extent: Extent::default(),
        one_by_one,
    };
    let result = fill_pending(&mut pending, iova, size, mapping);
    if result.is_err() && pending.extent.len != 0 {
        give_up(pending.extent, mapping);
    }
    (pending.start.wrapping_sub(iova), result)
}

/// Lets go of an extent that no domain has.
fn give_up(extent: Extent, mapping: &Mapping) {
    // SAFETY: Pinned by `fill_pending`, where it is memory; no table has it.
    unsafe { pin::unpin(extent, mapping.access().writes(), !mapping.has_bare_frames) };
}

fn fill_pending(
    pending: &mut Pending<'_>,
    iova: u64,
    size: u64,
    mapping: &mut Mapping,
) -> Result<(), Failure> {
    let current = current!();
    let mm = current.mm().ok_or(ENODEV)?;
    let writes = mapping.access().writes();
    let all = size >> PAGE_SHIFT;
    let room = if pending.one_by_one {
        1
    } else {
        pin::BATCH.min(all as usize)
    };
    let mut batch = KVec::with_capacity(room, GFP_KERNEL)?;
    batch.resize(room, 0u64, GFP_KERNEL)?;

    let mut done = 0u64;
    while done < all {
        pin::cond_resched();
        let left = if pending.one_by_one {
            1
        } else {
            all.wrapping_sub(done)
        };
        let vaddr = mapping.vaddr().wrapping_add(pin::bytes(done) as usize);
        match pin::find_own(mm, vaddr, left, writes, &mut batch)? {
            Found::Frames(pfn, pages) => {
                mapping.has_bare_frames = true;
                pending.push(extent(pfn, pages), mapping)?;
                done = done.wrapping_add(pages);
            }
            Found::Pages(pages) => {
                let pages_at = batch.get_mut(..pages).ok_or(EFAULT)?;
                let runs = coalesce(pages_at, pin::frame_of);
                let here = iova.wrapping_add(pin::bytes(done));
                push_runs(
                    pending,
                    batch.get(..runs).unwrap_or(&[]),
                    here,
                    pages as u64,
                    mapping,
                )?;
                done = done.wrapping_add(pages as u64);
            }
        }
    }
    Ok(pending.flush(mapping)?)
}

fn extent(pfn: u64, pages: u64) -> Extent {
    Extent {
        phys: pfn << PAGE_SHIFT,
        len: pin::bytes(pages),
    }
}

/// Charges `pages` pinned pages, the frames of `runs`, to the process and maps them from `iova` on.
/// After an error none of them that is not in a table or pending is pinned.
fn push_runs(
    pending: &mut Pending<'_>,
    runs: &[u64],
    iova: u64,
    pages: u64,
    mapping: &mut Mapping,
) -> Result<(), Failure> {
    let extent_of = |raw: &u64| {
        let run = Run::from_raw(*raw);
        extent(run.pfn(), run.pages())
    };
    let unpin_from = |first: usize, mapping: &Mapping| {
        let rest = runs.iter().skip(first);
        rest.for_each(|run| give_up(extent_of(run), mapping));
    };

    // What drivers have pinned is paid for.
    let charged = pages.saturating_sub(mapping.pins_within(iova, pages));
    mapping
        .charge(charged as isize)
        .inspect_err(|_| unpin_from(0, mapping))?;
    for (index, run) in runs.iter().enumerate() {
        if let Err(e) = pending.push(extent_of(run), mapping) {
            unpin_from(index, mapping);
            return Err(e.into());
        }
    }
    Ok(())
}

/// Gives new `domains` what the first of `known` translates for `mapping`. Returns the bytes that are
/// mapped, and if they are not all, why.
pub(super) fn copy(
    known: &[Domain],
    domains: &[Domain],
    iova: u64,
    size: u64,
    mapping: &mut Mapping,
) -> (u64, Result<(), Failure>) {
    let Some(source) = known.first() else {
        // A mapping in the tables of no domain.
        kernel::warn_on!(true);
        return (0, Err(EINVAL.into()));
    };
    let mut pending = Pending {
        domains,
        start: iova,
        extent: Extent::default(),
        one_by_one: false,
    };
    let mut frames = Frames::new(source, iova, size, mapping.granule);
    let result = frames
        .try_for_each(|extent| {
            // Frame 0 is nobody's memory: the lookup has found nothing.
            if kernel::warn_on!(extent.phys == 0) {
                return Err(EINVAL);
            }
            pending.push(extent, mapping)
        })
        .and_then(|()| pending.flush(mapping));
    (
        pending.start.wrapping_sub(iova),
        result.map_err(Failure::from),
    )
}

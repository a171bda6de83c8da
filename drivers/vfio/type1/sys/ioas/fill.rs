// SPDX-License-Identifier: GPL-2.0

//! Into the domains: frames are pinned in batches, and mapped in runs as long as they follow each
//! other.

use super::drain::try_for_each;
use super::key::Key;
use super::revocable::{try_for_each_memory, How, Revocable, Revocables};
use super::{Area, Frames, Ioas, Memory};
use crate::error::Failure;
use crate::group::Group;
use crate::sys::domain::Domain;
use crate::sys::notifier::UserRange;
use crate::sys::pin;
use core::convert::Infallible;
use kernel::mm::MmWithUser;
use kernel::prelude::*;
use siov_type1::run::{Extent, Run};
use siov_type1::Prot;
use siov_types::{Iova, IovaRange, PageCount, PhysAddr};

/// How areas are filled.
#[derive(Clone, Copy)]
pub(crate) struct FillOptions<'a> {
    /// Each page is mapped on its own.
    pub(crate) one_by_one: bool,
    /// Groups without a domain whose devices may be reached by others, as those with one are.
    pub(crate) emulated: &'a [Group],
}

impl FillOptions<'_> {
    /// Whether `group` is in the container, which has these domains.
    fn has(&self, domains: &[Domain], group: &Group) -> bool {
        let mut members = domains.iter().flat_map(|domain| domain.members());
        self.emulated.contains(group) || members.any(|member| member.group() == group)
    }
}

/// A run of frames that has not been mapped yet, because it may go on.
///
/// # Invariants
///
/// The frames of `extent` are pinned, and stay so until they are unmapped.
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
    /// The frames of `extent` are pinned, and stay so until they are unmapped.
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

    /// Goes on behind `pages` pages that are mapped otherwise. Nothing is pending.
    fn skip(&mut self, pages: PageCount) {
        self.start = self.start.wrapping_add(pages.bytes());
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

impl<M: Memory> Area<M> {
    /// Pins the memory of an area that no domain has, and maps it in `domains`, as what is no
    /// memory.
    ///
    /// It is that of the process that made the area, who is charged for it, but for what drivers
    /// have pinned.
    ///
    /// # Errors
    ///
    /// Those of pinning, charging and the IOMMU driver, `ENODEV` when the process has exited,
    /// `EINTR` when the caller is being killed, [`Failure::ForeignRegisters`] for registers of a
    /// VFIO device that is not in the container.
    /// Nothing is mapped or pinned then; what was charged is the caller's to settle.
    ///
    /// # Safety
    ///
    /// No domain translates an address of the area, and nothing else uses it in `domains`
    /// meanwhile. These translate it alike until it is drained in all of them, and new ones get it
    /// by [`Self::copy`].
    pub(super) unsafe fn fill(
        &mut self,
        domains: &[Domain],
        key: Key,
        options: FillOptions<'_>,
        revocables: &mut Revocables,
    ) -> Result<(), Failure> {
        let mut pending = Pending::new(domains, key.first(), options.one_by_one);
        let mut revocable = None;
        // SAFETY: As required of us; what is mapped when it fails is drained below.
        let filled = unsafe { self.fill_pending(&mut pending, key, options, &mut revocable) };
        let result = filled.and_then(|()| {
            if let Some(new) = revocable.take() {
                revocables.insert(key, new).map_err(|(e, new)| {
                    revocable = Some(new);
                    e
                })?;
                self.frames.is_revocable = true;
            }
            Ok(())
        });
        if result.is_err() {
            // SAFETY: Pinned by `fill_pending`; no domain has it, nor will any.
            unsafe { self.frames.unpin(pending.extent) };
            let done = pending.start.checked_sub(key.first()).unwrap_or(0);
            if let Some(done) = IovaRange::from_len(key.first(), done) {
                // SAFETY: This was mapped so far, in these domains only.
                unsafe { self.drain(domains, done, revocable) };
            }
        }
        result
    }

    /// As [`Self::fill`], but leaves what is mapped or pending as it is when it fails.
    ///
    /// # Safety
    ///
    /// As of [`Self::fill`].
    unsafe fn fill_pending(
        &mut self,
        pending: &mut Pending<'_>,
        key: Key,
        options: FillOptions<'_>,
        revocable: &mut Option<Revocable>,
    ) -> Result<(), Failure> {
        let domains = pending.domains;
        let has = |group: &Group| options.has(domains, group);
        // The caller's own needs no reference: it stays as long as the caller does not exit.
        let current = current!();
        let own = current.mm();
        let own = own.filter(|mm| mm.as_raw() == self.memory.mm().as_raw());
        let other = match own {
            Some(_) => None,
            None => Some(self.memory.mm().mmget_not_zero().ok_or(ENODEV)?),
        };
        let owner: &MmWithUser = own.or(other.as_deref()).ok_or(ENODEV)?;
        let start = self.memory.vaddr()?;
        let writes = self.frames.prot.contains(Prot::WRITE);
        let all = PageCount::in_bytes(key.size());
        let most = if options.one_by_one {
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
            if done != 0 {
                pin::cond_resched();
                pin::check_for_kill()?;
            }
            let iova = key.first().checked_add(done).ok_or(EINVAL)?;
            let vaddr = start.checked_add(done as usize).ok_or(EFAULT)?;
            let wanted = left.min(most);
            let pinned = if own.is_some() {
                pin::pin_own(owner, vaddr, wanted, writes, &mut batch)
            } else {
                pin::pin(owner, vaddr, wanted, writes, &mut batch)
            };
            let pages = match pinned {
                Ok(pages) => {
                    let found = batch.get_mut(..pages).ok_or(EFAULT)?;
                    let runs = pin::runs_of(found);
                    let pages = PageCount::new(pages as u64).ok_or(EFAULT)?;
                    let runs = batch.get(..runs).unwrap_or(&[]);
                    // What drivers have pinned is paid for.
                    let charged = pages.saturating_sub(self.pins.within(iova, pages));
                    let charge = || self.memory.charge(charged);
                    // SAFETY: These frames were pinned for us.
                    unsafe { push_runs(pending, runs, &mut self.frames, charge) }?;
                    pages
                }
                Err(no_memory) => {
                    pending.flush(self.frames)?;
                    let how = How {
                        prot: self.frames.prot,
                        one_by_one: options.one_by_one,
                    };
                    let revocable = match &mut *revocable {
                        Some(revocable) => revocable,
                        none => {
                            let user = user_range(start, key)?;
                            // SAFETY: Parts of the area, which nothing else uses: it is filled and
                            // drained between them.
                            let new = unsafe { Revocable::new(owner, user, domains, how) }?;
                            none.insert(new)
                        }
                    };
                    let at = (iova, vaddr);
                    // SAFETY: As above.
                    let pages = unsafe { revocable.map(owner, at, left, &has, no_memory) }?;
                    pending.skip(pages);
                    pages
                }
            };
            left = left.checked_sub(pages).ok_or(EFAULT)?;
            done += pages.bytes();
        }
        Ok(pending.flush(self.frames)?)
    }
}

impl<M: Memory> Ioas<M> {
    /// Has domains translate to what is no memory of the area at `iova` where its process has that
    /// now, after [`Memory::mm`] or [`Memory::vaddr`] of it have changed.
    ///
    /// # Errors
    ///
    /// Those of [`Memory::vaddr`], `ENODEV` when the process has exited, `ENOMEM`; nothing has
    /// changed then.
    pub(crate) fn change_owner(&mut self, iova: Iova, options: FillOptions<'_>) -> Result {
        let key = Key::at(iova).ok_or(EINVAL)?;
        let cursor = self.areas.cursor_lower_bound(&key).ok_or(EINVAL)?;
        let (found, area) = cursor.current();
        if *found != key || !area.frames.is_revocable {
            return Ok(());
        }
        let domains = self.domains.as_slice();
        let owner = area.memory.mm().mmget_not_zero().ok_or(ENODEV)?;
        let user = user_range(area.memory.vaddr()?, *found)?;
        let how = How {
            prot: area.frames.prot,
            one_by_one: options.one_by_one,
        };
        let has = |group: &Group| options.has(domains, group);
        // SAFETY: Parts of the area, which nothing else uses, as the old ones are dropped.
        let new = unsafe { Revocable::new(&owner, user, domains, how) }?;
        let at = (found.first(), user);
        // SAFETY: As above.
        unsafe { self.revocables.replace(at, new, &owner, &has) }
    }
}

/// Where a process has an area that it finds at `start`.
///
/// # Errors
///
/// `EFAULT` past the last address.
fn user_range(start: usize, key: Key) -> Result<UserRange> {
    let end = start.checked_add(key.size() as usize).ok_or(EFAULT)?;
    Ok(UserRange { start, end })
}

impl<M> Area<M> {
    /// Maps in `new` what `known` translates for the area.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver, `EINVAL` where `known` does not translate all of its memory.
    /// Nothing is mapped in `new` then.
    ///
    /// # Safety
    ///
    /// `known` translates the area, `new` nothing of it, and nothing else uses it in these domains
    /// meanwhile. As long as `new` does, it is not drained in other domains alone.
    pub(super) unsafe fn copy(
        &self,
        known: &Domain,
        new: &Domain,
        key: Key,
        revocables: &Revocables,
    ) -> Result {
        let revocable = revocables.get(&key, self.frames);
        let mut done = None;
        let result = try_for_each_memory(revocable, key.range(), |memory| {
            // SAFETY: As required of us.
            unsafe { copy(known, new, memory, self.frames) }?;
            done = Some(memory.last());
            Ok(())
        })
        .and_then(|()| match revocable {
            // SAFETY: As required of us.
            Some(revocable) => unsafe { revocable.join(new) },
            None => Ok(()),
        });
        if let (Err(_), Some(last)) = (result, done) {
            if let Some(copied) = IovaRange::new(key.first(), last) {
                // SAFETY: This was copied above.
                unsafe { self.uncopy(new, key, copied, revocables) };
            }
        }
        result
    }

    /// Unmaps the memory of `range` of the area in `new`, which is the area, or the front of it.
    ///
    /// # Safety
    ///
    /// It was copied there, and nothing else uses it in this domain.
    pub(super) unsafe fn uncopy(
        &self,
        new: &Domain,
        key: Key,
        range: IovaRange,
        revocables: &Revocables,
    ) {
        let revocable = revocables.get(&key, self.frames);
        let Ok(()) = try_for_each_memory(revocable, range, |memory| {
            let size = memory.size().unwrap_or(u64::MAX);
            // SAFETY: As required of us.
            let unmapped = unsafe { new.iommu().unmap(memory.first(), size) };
            kernel::warn_on!(unmapped != size);
            Ok::<_, Infallible>(())
        });
    }
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

/// Maps in `new` what `known` translates `range` to, which is memory of an area.
///
/// # Errors
///
/// As of [`Area::copy`].
///
/// # Safety
///
/// As of [`Area::copy`]; `frames` are those of the area.
unsafe fn copy(known: &Domain, new: &Domain, range: IovaRange, frames: Frames) -> Result {
    let mut pending = Pending::new(core::slice::from_ref(new), range.first(), false);
    // All breaks are noted.
    let mut noted = frames;
    let visit = |phys: Option<PhysAddr>, len| {
        kernel::warn_on!(phys.is_none());
        let phys = phys.ok_or(EINVAL)?;
        // SAFETY: What a domain translates to is pinned, until the area is drained in all domains.
        unsafe { pending.push(Extent { phys, len }, &mut noted) }
    };
    // SAFETY: The caller is the only user of the area, as required of us.
    let result = unsafe { try_for_each(known, range, frames.granule, visit) }
        .and_then(|()| pending.flush(frames));
    if result.is_err() {
        let done = pending.start.checked_sub(range.first()).unwrap_or(0);
        // SAFETY: As above.
        unsafe { new.iommu().unmap(range.first(), done) };
    }
    result
}

// SPDX-License-Identifier: GPL-2.0

//! Parts of an area that are no memory (`VM_PFNMAP`), as registers of devices: they hold no pin.
//!
//! What they are belongs to whom the process has them from, a VFIO device for example, and may be
//! somebody else's tomorrow. So domains translate to them as long as the process has them at its
//! address, and no longer: when it unmaps them, exits or is replaced, or when their driver takes
//! them back (as vfio-pci does for a reset, or when the device's memory is disabled), they are
//! unmapped in all domains, and the hardware has forgotten them, before that goes on. Their place
//! in the area stays empty then.

use super::key::Key;
use super::Frames;
use crate::error::Failure;
use crate::group::Group;
use crate::sys::domain::Domain;
use crate::sys::iommu::IommuDomain;
use crate::sys::notifier::{Notifier, Revoke, UserRange};
use crate::sys::pfnmap::{self, FrameRun};
use crate::sys::pin::check_for_kill;
use kernel::mm::MmWithUser;
use kernel::page::Page;
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNodeReservation};
use kernel::sync::Arc;
use linux::vec;
use siov_type1::run::Extent;
use siov_type1::Prot;
use siov_types::{Iova, IovaRange, PageCount, PAGE_SIZE};

/// How often a table page is waited for, for one part.
const ATTEMPTS: usize = 16;

/// How domains translate the parts.
#[derive(Clone, Copy)]
pub(super) struct How {
    /// What devices may do.
    pub(super) prot: Prot,
    /// Each page on its own.
    pub(super) one_by_one: bool,
}

/// A part: frames that follow each other.
struct Part {
    range: IovaRange,
    user: UserRange,
    extent: Extent,
    /// It has not been revoked.
    is_mapped: bool,
}

impl Part {
    /// Maps the part in `domain`.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver, `ENOMEM` where it would have to wait for memory; nothing is
    /// mapped then.
    ///
    /// # Safety
    ///
    /// The frames are the process's until they are unmapped, and the caller is the only user of the
    /// range in `domain`.
    unsafe fn map(&self, domain: &IommuDomain, how: How) -> Result {
        let first = self.range.first();
        let step = if how.one_by_one {
            PAGE_SIZE
        } else {
            self.extent.len
        };
        let mut done = 0u64;
        while done < self.extent.len {
            let iova = first.wrapping_add(done);
            let extent = Extent {
                phys: self.extent.phys.checked_add(done).ok_or(EINVAL)?,
                len: step,
            };
            // SAFETY: As required of us.
            if let Err(e) = unsafe { domain.map_nowait(iova, extent, how.prot) } {
                // SAFETY: As required of us; this was mapped above.
                unsafe { domain.unmap(first, done) };
                return Err(e);
            }
            done = done.saturating_add(step);
        }
        Ok(())
    }

    /// Undoes [`Self::map`].
    ///
    /// # Safety
    ///
    /// The caller is the only user of the range in `domain`.
    unsafe fn unmap(&self, domain: &IommuDomain) {
        // SAFETY: As required of us.
        let done = unsafe { domain.unmap(self.range.first(), self.extent.len) };
        kernel::warn_on!(done != self.extent.len);
    }
}

/// The parts of an area, in order, and the domains that translate those that are mapped.
///
/// Nothing else uses the ranges of the parts in these domains.
struct Uses {
    how: How,
    domains: KVec<Arc<IommuDomain>>,
    parts: KVec<Part>,
}

impl Uses {
    /// Maps a part in all domains. On error no domain has it.
    ///
    /// # Errors
    ///
    /// Those of [`Part::map`].
    ///
    /// # Safety
    ///
    /// As of [`Part::map`], for all domains.
    unsafe fn map(&self, part: &Part) -> Result {
        for (index, domain) in self.domains.iter().enumerate() {
            // SAFETY: As required of us.
            if let Err(e) = unsafe { part.map(domain, self.how) } {
                for domain in self.domains.iter().take(index) {
                    // SAFETY: As required of us.
                    unsafe { part.unmap(domain) };
                }
                return Err(e);
            }
        }
        Ok(())
    }

    /// Adds a part that is mapped, in place of the front of an empty one, if it begins there. There
    /// is room for one more.
    fn add(&mut self, part: Part) {
        let (first, last) = (part.range.first(), part.range.last());
        let at = self
            .parts
            .partition_point(|known| known.range.last() < first);
        if let Some(empty) = self.parts.get_mut(at) {
            let behind = last.checked_add(1);
            match behind.and_then(|next| IovaRange::new(next, empty.range.last())) {
                Some(rest) => empty.range = rest,
                None => {
                    *empty = part;
                    return;
                }
            }
        }
        let _ = self.parts.insert_within_capacity(at, part);
    }

    /// Maps all parts in `domain`, which has none of them, where they are mapped in the others. On
    /// error it has none.
    ///
    /// # Errors
    ///
    /// Those of [`Part::map`].
    ///
    /// # Safety
    ///
    /// The caller is the only user of the ranges in `domain`.
    unsafe fn map_all(&self, domain: &IommuDomain) -> Result {
        let mapped = || self.parts.iter().filter(|part| part.is_mapped);
        for (index, part) in mapped().enumerate() {
            // SAFETY: The process has the frames as long as they are mapped anywhere; the range as
            // required of us.
            if let Err(e) = unsafe { part.map(domain, self.how) } {
                for part in mapped().take(index) {
                    // SAFETY: As required of us.
                    unsafe { part.unmap(domain) };
                }
                return Err(e);
            }
        }
        Ok(())
    }

    /// Unmaps the parts that `is_meant`, where they are mapped.
    fn unmap(&mut self, is_meant: impl Fn(&Part) -> bool) {
        let parts = self.parts.iter_mut();
        for part in parts.filter(|part| part.is_mapped && is_meant(part)) {
            part.is_mapped = false;
            for domain in &self.domains {
                // SAFETY: By what is true of the type.
                unsafe { part.unmap(domain) };
            }
        }
    }
}

impl Revoke for Uses {
    fn revoke(&mut self, range: UserRange) {
        self.unmap(|part| part.user.overlaps(range));
    }
}

impl Drop for Uses {
    fn drop(&mut self) {
        self.unmap(|_| true);
    }
}

/// The parts of one area that are no memory. Dropped, they are unmapped.
pub(super) struct Revocable(Pin<KBox<Notifier<Uses>>>);

impl Revocable {
    /// No parts yet, of an area that the process of `mm` has at `user`, in `domains`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EINTR` when the caller is being killed.
    ///
    /// # Safety
    ///
    /// What is mapped by [`Self::map`] nothing else uses in `domains`, until this is dropped or
    /// [`Self::leave`] was called.
    pub(super) unsafe fn new(
        mm: &MmWithUser,
        user: UserRange,
        domains: &[Domain],
        how: How,
    ) -> Result<Self> {
        let mut uses = Uses {
            how,
            domains: KVec::with_capacity(domains.len(), GFP_KERNEL)?,
            parts: KVec::new(),
        };
        for domain in domains {
            uses.domains.push(domain.shared(), GFP_KERNEL)?;
        }
        Ok(Self(Notifier::new(mm, user, uses)?))
    }

    /// Maps what the process has at `vaddr` at `iova`, up to `pages` pages: behind all parts that
    /// there are, or in place of the front of an empty one, which is as large. How many pages that
    /// were, not 0. `allows` says of which groups the registers of devices may be mapped.
    ///
    /// # Errors
    ///
    /// `otherwise` where the process has memory, or nothing; those of the IOMMU driver;
    /// [`Failure::ForeignRegisters`]; `EINTR` when the caller is being killed.
    ///
    /// # Safety
    ///
    /// `mm` is that of [`Self::new`], and nothing else uses the range in its domains.
    pub(super) unsafe fn map(
        &self,
        mm: &MmWithUser,
        (iova, vaddr): (Iova, usize),
        pages: PageCount,
        allows: &dyn Fn(&Group) -> bool,
        otherwise: Error,
    ) -> Result<PageCount, Failure> {
        let writes = self.0.uses().lock().how.prot.contains(Prot::WRITE);
        let mut attempts = 0usize;
        loop {
            vec::reserve(self.0.uses(), |uses| &mut uses.parts)?;
            let sequence = self.0.sequence();
            let FrameRun { extent, owner } = pfnmap::find_run(mm, vaddr, pages, writes, otherwise)?;
            if let Some(group) = owner.filter(|group| !allows(group)) {
                return Err(Failure::ForeignRegisters(group.id()));
            }
            let end = vaddr.checked_add(extent.len as usize).ok_or(EFAULT)?;
            let part = Part {
                range: IovaRange::from_len(iova, extent.len).ok_or(EINVAL)?,
                user: UserRange { start: vaddr, end },
                extent,
                is_mapped: true,
            };
            let Some(mut uses) = self.0.lock_unless_changed(sequence) else {
                // By the process itself, or the driver of its device.
                check_for_kill()?;
                continue;
            };
            // SAFETY: The process has them, or would have lost them since: then the sequence would
            // be another. From here on it does not lose them before they are revoked.
            let mapped = unsafe { uses.map(&part) };
            if mapped.is_ok() {
                uses.add(part);
                return Ok(extent.pages());
            }
            drop(uses);
            try_again(mapped, &mut attempts)?;
        }
    }

    /// Maps all parts in one more domain.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver; nothing is mapped there then.
    ///
    /// # Safety
    ///
    /// As of [`Self::new`].
    pub(super) unsafe fn join(&self, domain: &Domain) -> Result {
        vec::reserve(self.0.uses(), |uses| &mut uses.domains)?;
        let shared = domain.shared();
        let mut attempts = 0usize;
        loop {
            let mut uses = self.0.uses().lock();
            // SAFETY: The range as required of us.
            let mapped = unsafe { uses.map_all(&shared) };
            if mapped.is_ok() {
                // There is room.
                let _ = uses.domains.push_within_capacity(shared);
                return Ok(());
            }
            drop(uses);
            try_again(mapped, &mut attempts)?;
        }
    }

    /// Makes empty parts where `other` has parts.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn make_places(&self, other: &Self) -> Result {
        let mut next = other.part_from(Iova::new(0));
        while let Some(range) = next {
            vec::reserve(self.0.uses(), |uses| &mut uses.parts)?;
            let place = Part {
                range,
                user: UserRange { start: 0, end: 0 },
                extent: Extent::NONE,
                is_mapped: false,
            };
            // There is room.
            let _ = self.0.uses().lock().parts.push_within_capacity(place);
            let behind = range.last().checked_add(1);
            next = behind.and_then(|iova| other.part_from(iova));
        }
        Ok(())
    }

    /// Unmaps all parts in `domain`, which does not get them any more, if it has them.
    fn leave(&self, domain: &Domain) {
        let shared = domain.shared();
        let mut uses = self.0.uses().lock();
        let uses = &mut *uses;
        let mut domains = uses.domains.iter();
        let index = domains.position(|known| Arc::ptr_eq(known, &shared));
        let Some(domain) = index.and_then(|index| uses.domains.remove(index).ok()) else {
            return;
        };
        for part in uses.parts.iter().filter(|part| part.is_mapped) {
            // SAFETY: By what is true of `Uses`.
            unsafe { part.unmap(&domain) };
        }
    }

    /// The first part that ends behind `iova`.
    fn part_from(&self, iova: Iova) -> Option<IovaRange> {
        let uses = self.0.uses().lock();
        let at = uses.parts.partition_point(|part| part.range.last() < iova);
        uses.parts.get(at).map(|part| part.range)
    }
}

/// What is revocable of the areas that are marked to have that, by the areas' first addresses.
pub(super) struct Revocables(RBTree<Iova, Revocable>);

impl Revocables {
    pub(super) fn new() -> Self {
        Self(RBTree::new())
    }

    /// What the area has.
    #[inline]
    pub(super) fn get(&self, key: &Key, frames: Frames) -> Option<&Revocable> {
        frames.is_revocable.then(|| self.0.get(&key.first()))?
    }

    /// Takes it from an area, which must not be marked any more.
    #[inline]
    pub(super) fn remove(&mut self, key: &Key, frames: Frames) -> Option<Revocable> {
        frames.is_revocable.then(|| self.0.remove(&key.first()))?
    }

    /// Gives it to an area, which is to be marked.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, with what was given.
    pub(super) fn insert(
        &mut self,
        key: Key,
        revocable: Revocable,
    ) -> Result<(), (Error, Revocable)> {
        let node = match RBTreeNodeReservation::new(GFP_KERNEL) {
            Ok(node) => node,
            Err(e) => return Err((e, revocable)),
        };
        self.0.insert(node.into_node(key.first(), revocable));
        Ok(())
    }

    /// Replaces what an area that begins at `first` has of another process by what `new` has, which
    /// has no parts yet, and is of the process of `mm`, who has the area at `user`. What that
    /// process does not have stays empty.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; nothing has changed then.
    ///
    /// # Safety
    ///
    /// As of [`Revocable::new`] and [`Revocable::map`], for the area.
    pub(super) unsafe fn replace(
        &mut self,
        (first, user): (Iova, UserRange),
        new: Revocable,
        mm: &MmWithUser,
        allows: &dyn Fn(&Group) -> bool,
    ) -> Result {
        let Some(known) = self.0.get_mut(&first) else {
            return Ok(());
        };
        new.make_places(known)?;
        // Unmaps the old ones: no two have the same place.
        *known = new;
        let mut next = known.part_from(first);
        while let Some(place) = next {
            let offset = place.first().checked_sub(first).unwrap_or(0);
            let at = (place.first(), user.start.saturating_add(offset as usize));
            let pages = PageCount::in_bytes(place.size().unwrap_or(0));
            // SAFETY: As required of us.
            let mapped = unsafe { known.map(mm, at, pages, allows, EFAULT) };
            let behind = match mapped {
                Ok(pages) => place.first().checked_add(pages.bytes()),
                Err(_) => place.last().checked_add(1),
            };
            next = behind.and_then(|iova| known.part_from(iova));
        }
        Ok(())
    }

    /// Unmaps all of it in `domain`, which does not get it any more.
    pub(super) fn leave(&self, domain: &Domain) {
        self.0
            .values()
            .for_each(|revocable| revocable.leave(domain));
    }
}

/// Calls `f` on each range between the parts of `range`, which is an area or the front of one: what
/// is memory, in order.
///
/// # Errors
///
/// The first one of `f`.
#[inline]
pub(super) fn try_for_each_memory<E>(
    revocable: Option<&Revocable>,
    range: IovaRange,
    mut f: impl FnMut(IovaRange) -> Result<(), E>,
) -> Result<(), E> {
    let Some(revocable) = revocable else {
        return f(range);
    };
    let mut next = Some(range.first());
    while let Some(first) = next {
        let part = revocable
            .part_from(first)
            .filter(|part| part.overlaps(range));
        let last = match part {
            Some(part) => part.first().raw().checked_sub(1).map(Iova::new),
            None => Some(range.last()),
        };
        if let Some(memory) = last.and_then(|last| IovaRange::new(first, last)) {
            f(memory)?;
        }
        next = part.and_then(|part| part.last().checked_add(1));
        next = next.filter(|next| *next <= range.last());
    }
    Ok(())
}

/// After a failure for want of memory, waits for some.
///
/// # Errors
///
/// That of `result` if it is another one, or there is none to be had; `EINTR` when the caller is
/// being killed.
fn try_again(result: Result, attempts: &mut usize) -> Result {
    *attempts = attempts.saturating_add(1);
    if result != Err(ENOMEM) || *attempts > ATTEMPTS {
        return result;
    }
    check_for_kill()?;
    // What the allocator reclaims for this page is more than that.
    Page::alloc_page(GFP_KERNEL).map(drop)?;
    Ok(())
}

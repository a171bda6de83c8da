// SPDX-License-Identifier: GPL-2.0

//! The I/O address space of a container: areas of memory, and the IOMMU domains that all translate
//! them alike.
//!
//! What memory safety rests on, whatever the safe code of this driver does:
//!
//! 1. Areas are disjoint, and consist of whole pages. The tree sees to that: overlapping ranges
//!    compare as equal, and [`Ioas::map`] does not insert what equals an area.
//! 2. Where there are domains, each of them translates every address of every area, and all alike,
//!    but for those of parts that were revoked, which none does. Without domains nothing is pinned
//!    for them.
//! 3. A frame of memory that a domain translates to holds a pin, once for all domains. Nothing
//!    notes which frames those are: they are read back from the first domain, in [`drain`], before
//!    it is unmapped there as the last. Frames that are no memory hold no pin: they are parts of
//!    the area's [`Revocable`], which alone maps and unmaps them, also between calls.
//! 4. A domain translates nothing that is not part of an area, except for a window for interrupt
//!    messages, which no area overlaps.
//! 5. A page that a driver of an emulated device has pinned holds a pin of its own where it is
//!    memory, until the driver unpins it; its area stays until then.
//!
//! The first domain may be removed while there is another one, which becomes the first and
//! translates the same (2). Before the last one is removed, everything is unmapped and unpinned.
//! When something fails half way, what was done is undone before the function returns. Where that
//! is not possible, because an IOMMU driver does not unmap what it has mapped, pins are kept for
//! ever, with a warning. Processes that exit change nothing of this: pinned frames outlive them.
//!
//! An `Ioas` has no lock: all that changes it borrows it mutably.

mod attach;
mod drain;
mod fill;
mod key;
mod pins;
mod revocable;

pub(crate) use attach::Detached;
pub(crate) use fill::FillOptions;
pub(crate) use pins::Pins;

use super::domain::Domain;
use super::pin;
use crate::error::Failure;
use core::ops::ControlFlow;
use kernel::mm::Mm;
use kernel::prelude::*;
use kernel::rbtree::{Entry, RBTree, RBTreeNodeReservation};
use key::Key;
use revocable::Revocables;
use siov_type1::run::{Extent, Granule};
use siov_type1::Prot;
use siov_types::{Iova, IovaRange, PageCount};

/// The process memory of an area, and who pays for what is pinned of it.
pub(crate) trait Memory {
    /// Process virtual address of the first byte.
    ///
    /// # Errors
    ///
    /// Where it is not known for now.
    fn vaddr(&self) -> Result<usize>;

    /// The address space that drivers of emulated devices have pages pinned of.
    fn mm(&self) -> &Mm;

    /// Charges the process for pages that are being pinned.
    ///
    /// # Errors
    ///
    /// Where they must not be pinned.
    fn charge(&mut self, pages: PageCount) -> Result<(), Failure>;

    /// Gives back what a page was charged that a driver has unpinned.
    fn refund(&mut self, pages: PageCount);
}

/// What [`Ioas`] and requests of VFIO's drivers for it have in common: the number of the container.
pub(crate) struct IoasId(usize);

impl IoasId {
    /// # Safety
    ///
    /// The number was not used before.
    pub(super) unsafe fn new(number: usize) -> Self {
        Self(number)
    }

    pub(super) fn number(&self) -> usize {
        self.0
    }
}

/// What is known of the frames of memory that the domains translate an area to.
#[derive(Clone, Copy)]
struct Frames {
    /// What devices may do.
    prot: Prot,
    /// There are parts that are no memory, as far as domains translate the area to that or did.
    is_revocable: bool,
    /// Drivers of emulated devices are to unpin what they have pinned, and pin no more.
    is_going: bool,
    /// Blocks of IOVA within which they follow each other.
    granule: Granule,
}

impl Frames {
    /// None yet.
    fn new(prot: Prot) -> Self {
        Self {
            prot,
            is_revocable: false,
            is_going: false,
            granule: Granule::default(),
        }
    }

    /// Unpins memory of the area, noting that it may have been written to if devices could do that.
    ///
    /// # Safety
    ///
    /// Each frame of `extent` holds a pin that the caller owns.
    #[inline]
    unsafe fn unpin(self, extent: Extent) {
        // SAFETY: As required of us.
        unsafe { pin::unpin(extent, self.prot.contains(Prot::WRITE)) };
    }
}

/// An area, without its range, which is the key in the tree.
pub(super) struct Area<M> {
    memory: M,
    pins: Pins,
    frames: Frames,
}

/// An area as it is seen from outside.
#[derive(Clone, Copy)]
pub(crate) struct AreaInfo {
    /// Where devices find it.
    pub(crate) range: IovaRange,
    /// Its bytes.
    pub(crate) size: u64,
    /// What devices may do.
    pub(crate) prot: Prot,
    /// Whether drivers of emulated devices have pinned pages of it.
    pub(crate) has_pins: bool,
}

/// An area, and what is kept of its memory, to change that.
pub(crate) struct AreaMut<'a, M> {
    /// As [`AreaInfo::range`].
    pub(crate) range: IovaRange,
    /// As [`AreaInfo::size`].
    pub(crate) size: u64,
    /// What drivers of emulated devices have pinned.
    pub(crate) pins: &'a Pins,
    /// Its memory.
    pub(crate) memory: &'a mut M,
}

impl<M> Area<M> {
    #[inline]
    fn info(&self, key: &Key) -> AreaInfo {
        AreaInfo {
            range: key.range(),
            size: key.size(),
            prot: self.frames.prot,
            has_pins: !self.pins.is_empty(),
        }
    }

    #[inline]
    fn seen(&mut self, key: &Key) -> AreaMut<'_, M> {
        AreaMut {
            range: key.range(),
            size: key.size(),
            pins: &self.pins,
            memory: &mut self.memory,
        }
    }
}

/// Areas and domains. See the module for the invariants.
pub(crate) struct Ioas<M> {
    id: IoasId,
    domains: KVec<Domain>,
    areas: RBTree<Key, Area<M>>,
    /// Those of areas that are marked to have one.
    revocables: Revocables,
}

impl<M> Ioas<M> {
    /// No areas, no domains.
    pub(crate) fn new(id: IoasId) -> Self {
        Self {
            id,
            domains: KVec::new(),
            areas: RBTree::new(),
            revocables: Revocables::new(),
        }
    }

    /// The domains, the oldest first.
    pub(crate) fn domains(&self) -> &[Domain] {
        &self.domains
    }

    /// An area that shares an address with `range`.
    pub(crate) fn overlapping(&self, range: IovaRange) -> Option<AreaInfo> {
        let at = Key::around(range);
        let cursor = self.areas.cursor_lower_bound(&at)?;
        let (key, area) = cursor.current();
        (*key == at).then(|| area.info(key))
    }

    /// The area that contains `iova`, or else the first one above.
    pub(crate) fn from(&self, iova: Iova) -> Option<AreaInfo> {
        let cursor = self.areas.cursor_lower_bound(&Key::at(iova)?)?;
        let (key, area) = cursor.current();
        Some(area.info(key))
    }

    /// What is kept of the area that contains `iova`.
    pub(crate) fn at(&self, iova: Iova) -> Option<&M> {
        Some(&self.areas.get(&Key::at(iova)?)?.memory)
    }

    /// What is kept of the area that contains `iova`, to change it, and what drivers have pinned of
    /// it.
    pub(crate) fn at_mut(&mut self, iova: Iova) -> Option<(&mut M, &Pins)> {
        let area = self.areas.get_mut(&Key::at(iova)?)?;
        Some((&mut area.memory, &area.pins))
    }

    /// All areas, in order.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = AreaMut<'_, M>> {
        self.areas.iter_mut().map(|(key, area)| area.seen(key))
    }

    /// Calls `f` on the areas that overlap `range`, in order, until it breaks off.
    pub(crate) fn for_each_in<B>(
        &mut self,
        range: IovaRange,
        mut f: impl FnMut(AreaMut<'_, M>) -> ControlFlow<B>,
    ) -> Option<B> {
        let first = Key::at(range.first())?;
        let mut cursor = self.areas.cursor_lower_bound_mut(&first)?;
        loop {
            let (key, area) = cursor.current_mut();
            if key.range().first() > range.last() {
                return None;
            }
            if let ControlFlow::Break(value) = f(area.seen(key)) {
                return Some(value);
            }
            cursor = cursor.move_next()?;
        }
    }

    /// Removes the area that contains `iova`, unless drivers have pinned pages of it.
    pub(crate) fn remove(&mut self, iova: Iova) -> Option<(AreaInfo, M)> {
        let key = Key::at(iova)?;
        self.remove_if(&key, |_| true)
    }

    /// Removes the one area that covers exactly `range`, unless drivers have pinned pages of it.
    pub(crate) fn remove_exact(&mut self, range: IovaRange) -> Option<(AreaInfo, M)> {
        self.remove_if(&Key::around(range), |key| key.range() == range)
    }

    #[inline]
    fn remove_if(
        &mut self,
        key: &Key,
        condition: impl FnOnce(&Key) -> bool,
    ) -> Option<(AreaInfo, M)> {
        let cursor = self.areas.cursor_lower_bound_mut(key)?;
        let (found, area) = cursor.current();
        if found != key || area.info(found).has_pins || !condition(found) {
            return None;
        }
        let (_, node) = cursor.remove_current();
        let (key, area) = node.to_key_value();
        let revocable = self.revocables.remove(&key, area.frames);
        // SAFETY: It was an area, and is none any more.
        unsafe { area.drain(&self.domains, key.range(), revocable) };
        Some((area.info(&key), area.memory))
    }

    /// Unmaps and unpins what the domains have of all areas, and removes the domains.
    fn remove_domains(&mut self) {
        for (key, area) in self.areas.iter_mut() {
            let revocable = self.revocables.remove(key, area.frames);
            area.frames.is_revocable = false;
            // SAFETY: An area, which no domain translates any more when this function returns.
            unsafe { area.drain(&self.domains, key.range(), revocable) };
        }
        self.domains.clear();
    }
}

impl<M: Memory> Ioas<M> {
    /// Makes an area of `range`, in which devices find `memory`. Without domains nothing is pinned:
    /// drivers of emulated devices will ask for single pages.
    ///
    /// # Errors
    ///
    /// `EEXIST` where there is an area, `EINVAL` for addresses that no area can have, and those of
    /// [`fill::fill`]. There is no such area then, and what was charged is the caller's to settle,
    /// who gets `memory` back.
    pub(crate) fn map(
        &mut self,
        range: IovaRange,
        prot: Prot,
        memory: M,
        options: FillOptions<'_>,
    ) -> Result<(), (Failure, M)> {
        let node = match RBTreeNodeReservation::new(GFP_KERNEL) {
            Ok(node) => node,
            Err(e) => return Err((e.into(), memory)),
        };
        let (domains, areas) = (&self.domains, &mut self.areas);
        let in_window = |d: &Domain| d.msi_window().is_some_and(|w| w.overlaps(range));
        let key = match Key::of_pages(range) {
            Some(key) if !domains.iter().any(in_window) => key,
            _ => return Err((EINVAL.into(), memory)),
        };
        let Entry::Vacant(place) = areas.entry(key) else {
            return Err((EEXIST.into(), memory));
        };
        let mut area = Area {
            memory,
            pins: Pins::new(),
            frames: Frames::new(prot),
        };
        if !domains.is_empty() {
            // SAFETY: There is no area yet with one of these addresses, so that no domain
            // translates them. All domains do from now on, and there will be an area.
            let filled = unsafe { area.fill(domains, key, options, &mut self.revocables) };
            if let Err(failure) = filled {
                return Err((failure, area.memory));
            }
        }
        place.insert(area, node);
        Ok(())
    }
}

impl<M> Drop for Ioas<M> {
    fn drop(&mut self) {
        self.remove_domains();
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Pages that drivers of emulated devices have pinned, each with a pin of its own.

use super::{Ioas, Key, Memory};
use crate::error::Failure;
use crate::sys::pfnmap;
use crate::sys::pin::{self, FrameKind};
use crate::sys::request::{PinRequest, UnpinRequest};
use kernel::prelude::*;
use kernel::rbtree::{Entry, RBTree, RBTreeNodeReservation};
use linux::count::Count;
use siov_type1::run::Extent;
use siov_type1::Prot;
use siov_types::{Iova, PageCount, Pfn};

/// A page that drivers have pinned.
struct Pin {
    pfn: Pfn,
    /// How often.
    count: Count,
    /// It is memory, which holds a pin.
    is_memory: bool,
}

impl Pin {
    /// # Safety
    ///
    /// No driver uses the page any more, and it was not unpinned before.
    unsafe fn unpin(&self, prot: Prot) {
        if self.is_memory {
            let extent = Extent::new(self.pfn, PageCount::ONE);
            // SAFETY: It holds a pin, which is not used any more, as required of us.
            unsafe { pin::unpin(extent, prot.contains(Prot::WRITE)) };
        }
    }
}

/// The pages of an area that drivers have pinned, by their addresses.
///
/// What is in it when it is dropped stays pinned for ever: drivers may be using it.
pub(crate) struct Pins(RBTree<Iova, Pin>);

impl Pins {
    pub(super) fn new() -> Self {
        Self(RBTree::new())
    }

    /// Whether there are none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where they are.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Iova> + '_ {
        self.0.keys().copied()
    }

    /// How many of them are memory, which processes are charged for.
    pub(crate) fn memory(&self) -> PageCount {
        self.count(|_, pin| pin.is_memory)
    }

    /// How many of them are among `pages` pages from `iova` on.
    #[inline]
    pub(super) fn within(&self, iova: Iova, pages: PageCount) -> PageCount {
        if self.is_empty() {
            return PageCount::ZERO;
        }
        let bytes = pages.bytes();
        self.count(|at, _| at.checked_sub(iova).is_some_and(|offset| offset < bytes))
    }

    fn count(&self, mut counts: impl FnMut(Iova, &Pin) -> bool) -> PageCount {
        let pins = self.0.iter().filter(|(at, pin)| counts(**at, pin));
        // Each takes memory, of which there is less.
        PageCount::new(pins.count() as u64).unwrap_or_default()
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        kernel::warn_on!(!self.is_empty());
    }
}

impl<M: Memory> Ioas<M> {
    /// Pins the next page that `request` asks for. Without domains the process is charged for it;
    /// where there is one, everything is pinned and paid for.
    ///
    /// # Errors
    ///
    /// `EINVAL` where there is no area, or one that is going, and for memory without page
    /// structures; `EPERM` where
    /// devices may do less than the driver asks for; `ENODEV` after the exit of the process,
    /// `ENOMEM`, and those of charging and pinning.
    pub(crate) fn pin_next(&mut self, request: &mut PinRequest<'_>) -> Result<(), Failure> {
        if kernel::warn_on!(!request.is_for(&self.id)) {
            return Err(EINVAL.into());
        }
        let iova = request.next().ok_or(EINVAL)?;
        let key = Key::at(iova).ok_or(EINVAL)?;
        let cursor = self.areas.cursor_lower_bound_mut(&key);
        let mut cursor = cursor.ok_or(EINVAL)?;
        let (found, area) = cursor.current_mut();
        if *found != key || area.frames.is_going {
            return Err(EINVAL.into());
        }
        // The page is pinned as the area permits: the driver will do with it what it has asked for.
        if !area.frames.prot.contains(request.prot()) {
            return Err(EPERM.into());
        }
        if let Some(pin) = area.pins.0.get_mut(&iova) {
            pin.count.inc();
            // SAFETY: It is pinned as long as it is counted.
            unsafe { request.push(pin.pfn) };
            return Ok(());
        }

        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let Entry::Vacant(place) = area.pins.0.entry(iova) else {
            return Err(EINVAL.into());
        };
        let mm = area.memory.mm().mmget_not_zero().ok_or(ENODEV)?;
        let offset = iova.checked_sub(found.first()).ok_or(EINVAL)?;
        let start = area.memory.vaddr()?;
        let vaddr = start.checked_add(offset as usize).ok_or(EFAULT)?;
        let prot = area.frames.prot;
        let (one, writes) = (PageCount::ONE, prot.contains(Prot::WRITE));
        let mut batch = [0u64; 1];
        let pfn = match pin::pin(&mm, vaddr, one, writes, &mut batch) {
            Ok(_) => pin::frame_of(batch[0]),
            Err(e) => pfnmap::find_run(&mm, vaddr, one, writes, e)?.extent.pfn(),
        };
        let kind = pin::kind_of(pfn);
        if kind == FrameKind::Bare {
            return Err(EINVAL.into());
        }
        let pin = Pin {
            pfn,
            count: Count::new(1),
            // Frames that were found without pages are none.
            is_memory: kind == FrameKind::Memory,
        };
        if pin.is_memory && self.domains.is_empty() {
            if let Err(failure) = area.memory.charge(PageCount::ONE) {
                // SAFETY: No driver has got it.
                unsafe { pin.unpin(prot) };
                return Err(failure);
            }
        }
        place.insert(pin, node);
        // SAFETY: It has a page structure, and is pinned as long as it is counted.
        unsafe { request.push(pfn) };
        Ok(())
    }

    /// Keeps drivers from pinning more pages of the area at `iova`, if they have pinned some; its
    /// size then.
    pub(crate) fn begin_unpinning(&mut self, iova: Iova) -> Option<u64> {
        let mut cursor = self.areas.cursor_lower_bound_mut(&Key::at(iova)?)?;
        let (key, area) = cursor.current_mut();
        if key.first() != iova || area.pins.is_empty() {
            return None;
        }
        area.frames.is_going = true;
        Some(key.size())
    }

    /// Ends what [`Self::begin_unpinning`] began; whether there are still pages of that area that
    /// drivers have pinned.
    pub(crate) fn end_unpinning(&mut self, iova: Iova) -> bool {
        let Some(area) = Key::at(iova).and_then(|key| self.areas.get_mut(&key)) else {
            return false;
        };
        // Another area has never been going.
        core::mem::take(&mut area.frames.is_going) && !area.pins.is_empty()
    }

    /// Undoes [`Self::pin_next`] for the pages that `request` has got so far: it has failed.
    pub(crate) fn unpin_all(&mut self, mut request: PinRequest<'_>) {
        if kernel::warn_on!(!request.is_for(&self.id)) {
            return;
        }
        while let Some(iova) = request.pop() {
            // SAFETY: The driver will not get it, and it was pinned once for this.
            unsafe { self.unpin(iova) };
        }
    }

    /// Unpins the next page of `request`; whether there was one. A page that is not pinned stays
    /// so.
    ///
    /// # Errors
    ///
    /// `EINVAL` where there is no area.
    pub(crate) fn unpin_next(&mut self, request: &mut UnpinRequest) -> Result<bool> {
        if kernel::warn_on!(!request.is_for(&self.id)) {
            return Err(EINVAL);
        }
        let Some(iova) = request.pop() else {
            return Ok(false);
        };
        // SAFETY: The driver asks for that, which it does once for each time that it has pinned it
        // here.
        if unsafe { self.unpin(iova) } {
            Ok(true)
        } else {
            Err(EINVAL)
        }
    }

    /// Unpins the page at `iova` once; false where there is no area.
    ///
    /// # Safety
    ///
    /// It was pinned for a driver of this address space, which uses it no longer.
    unsafe fn unpin(&mut self, iova: Iova) -> bool {
        let Some(area) = Key::at(iova).and_then(|key| self.areas.get_mut(&key)) else {
            return false;
        };
        let Entry::Occupied(mut entry) = area.pins.0.entry(iova) else {
            return true;
        };
        let pin = entry.get_mut();
        pin.count.dec();
        if !pin.count.is_zero() {
            return true;
        }
        let pin = entry.remove();
        // SAFETY: It was the last use.
        unsafe { pin.unpin(area.frames.prot) };
        if pin.is_memory && self.domains.is_empty() {
            area.memory.refund(PageCount::ONE);
        }
        true
    }
}

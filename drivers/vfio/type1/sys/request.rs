// SPDX-License-Identifier: GPL-2.0

//! What drivers of emulated devices ask for (`vfio_pin_pages()`, `vfio_unpin_pages()`): pages that
//! are pinned for them, page by page.
//!
//! Safe code can neither make nor repeat these requests, nor say that one is done that is not: a
//! driver uses a page from the end of the request to pin it until it asks to unpin it, and neither
//! is up to us.

use super::handle::Handle;
use super::ioas::IoasId;
use super::pin::page_of;
use crate::group::Group;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use kernel::prelude::*;
use linux::bindings;
use linux::callback::{Call, FromC};
use siov_type1::Prot;
use siov_types::{Iova, IovaRange, PageCount, Pfn, PAGE_SIZE};

/// Where the array of a call begins: as many elements as its [`PagesCount`] says, not used
/// otherwise until it returns.
pub(super) struct PagesStart<'call>(*mut *mut bindings::page, PhantomData<&'call Call>);
/// How many elements the [`PagesStart`] of the same call has.
pub(super) struct PagesCount<'call>(i32, PhantomData<&'call Call>);

impl<'call> FromC<'call, *mut *mut bindings::page> for PagesStart<'call> {
    unsafe fn from_c(c: *mut *mut bindings::page, _call: &'call Call) -> Self {
        Self(c, PhantomData)
    }
}

impl<'call> FromC<'call, i32> for PagesCount<'call> {
    unsafe fn from_c(c: i32, _call: &'call Call) -> Self {
        Self(c, PhantomData)
    }
}

/// The page at `index` of those from `iova` on; `None` past the last address.
fn page_at(iova: Iova, index: usize) -> Option<Iova> {
    iova.checked_add((index as u64).checked_mul(PAGE_SIZE)?)
}

/// The range of `count` pages from `iova` on; `None` for no pages, or past the last address.
fn range_of(iova: Iova, count: usize) -> Option<IovaRange> {
    IovaRange::from_len(iova, PageCount::new(count as u64)?.bytes())
}

/// A request to pin pages, of which the first ones are pinned.
pub(crate) struct PinRequest<'call> {
    ioas: usize,
    group: Group,
    iova: Iova,
    prot: Prot,
    pages: &'call mut [MaybeUninit<*mut bindings::page>],
    done: usize,
}

/// All pages of a [`PinRequest`] are pinned.
pub(crate) struct Pinned<'call>(&'call [MaybeUninit<*mut bindings::page>]);

impl<'call> PinRequest<'call> {
    /// Of the arguments of one call.
    ///
    /// # Errors
    ///
    /// `EINVAL` for no pages.
    pub(super) fn new<T>(
        handle: &Handle<'_, T>,
        group: Group,
        iova: Iova,
        prot: Prot,
        start: PagesStart<'call>,
        count: PagesCount<'call>,
    ) -> Result<Self> {
        let len = usize::try_from(count.0).map_err(|_| EINVAL)?;
        if start.0.is_null() || len == 0 {
            return Err(EINVAL);
        }
        Ok(Self {
            ioas: handle.number(),
            group,
            iova,
            prot,
            // SAFETY: So many elements are ours until the call returns.
            pages: unsafe { core::slice::from_raw_parts_mut(start.0.cast(), len) },
            done: 0,
        })
    }

    /// The group of the device.
    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    /// What the device is to be permitted.
    pub(super) fn prot(&self) -> Prot {
        self.prot
    }

    /// All that is to be pinned; `None` where that is beyond the last address.
    pub(crate) fn range(&self) -> Option<IovaRange> {
        range_of(self.iova, self.pages.len())
    }

    /// Where the next page is, if there is one.
    pub(crate) fn next(&self) -> Option<Iova> {
        if self.done == self.pages.len() {
            return None;
        }
        page_at(self.iova, self.done)
    }

    /// Whether it was made for a container whose address space has this id.
    pub(super) fn is_for(&self, id: &IoasId) -> bool {
        self.ioas == id.number()
    }

    /// Notes that the next page is in `pfn`.
    ///
    /// # Safety
    ///
    /// The frame has a page structure. If it is memory, it stays pinned until the page is unpinned
    /// once more often than so far: by an [`UnpinRequest`], or because of [`Self::pop`].
    pub(super) unsafe fn push(&mut self, pfn: Pfn) {
        if let Some(slot) = self.pages.get_mut(self.done) {
            slot.write(page_of(pfn));
            self.done += 1;
        }
    }

    /// Takes the last page back that was pinned. The driver will not get it: the request has
    /// failed.
    pub(super) fn pop(&mut self) -> Option<Iova> {
        // Also the one that could not be pinned.
        if let Some(slot) = self.pages.get_mut(self.done) {
            slot.write(core::ptr::null_mut());
        }
        self.done = self.done.checked_sub(1)?;
        if let Some(slot) = self.pages.get_mut(self.done) {
            slot.write(core::ptr::null_mut());
        }
        page_at(self.iova, self.done)
    }

    /// The request is done.
    ///
    /// # Errors
    ///
    /// `EFAULT` when pages are missing.
    pub(crate) fn finish(self) -> Result<Pinned<'call>> {
        if self.done != self.pages.len() {
            return Err(EFAULT);
        }
        Ok(Pinned(self.pages))
    }
}

impl Pinned<'_> {
    /// How many pages that are.
    pub(super) fn count(&self) -> i32 {
        i32::try_from(self.0.len()).unwrap_or(i32::MAX)
    }
}

/// A request to unpin pages, of which the first ones are unpinned.
pub(crate) struct UnpinRequest {
    ioas: usize,
    iova: Iova,
    count: usize,
    done: usize,
}

impl UnpinRequest {
    /// Of the arguments of one call: the driver has pinned so many pages, and uses them no longer.
    pub(super) fn new<T>(handle: &Handle<'_, T>, iova: Iova, count: Unpinned) -> Self {
        Self {
            ioas: handle.number(),
            iova,
            count: usize::try_from(count.0).unwrap_or(0),
            done: 0,
        }
    }

    /// All that is to be unpinned; `None` for no pages, or beyond the last address.
    pub(crate) fn range(&self) -> Option<IovaRange> {
        range_of(self.iova, self.count)
    }

    /// Whether it was made for a container whose address space has this id.
    pub(super) fn is_for(&self, id: &IoasId) -> bool {
        self.ioas == id.number()
    }

    /// Where the next page is, which is unpinned once, if there is one.
    pub(super) fn pop(&mut self) -> Option<Iova> {
        if self.done == self.count {
            return None;
        }
        let page = page_at(self.iova, self.done);
        self.done += 1;
        page
    }
}

/// How many pages the driver has pinned that it unpins in this call.
pub(super) struct Unpinned(i32);

impl FromC<'_, i32> for Unpinned {
    unsafe fn from_c(c: i32, _call: &Call) -> Self {
        Self(c)
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Pages of a user's memory that a driver keeps pinned while it works on them.
//!
//! The memory of an emulated device is not pinned when the user maps it, but page by page when its driver
//! wants it. A page stays pinned until the user unmaps it, the device is closed, or newer pages need its
//! place. The user pays for what is pinned.
//!
//! Locks: that of [`Pins`] is taken inside of those of the driver and outside of those of the container. Of an
//! unmapping VFIO tells with no lock held that pinning takes.
//!
//! C header: [`include/linux/vfio.h`](srctree/include/linux/vfio.h)

use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use linux::bindings;
use siov_types::{Iova, PAGE_SIZE};

/// What a page is pinned for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// The driver reads.
    Read = bindings::IOMMU_READ as isize,
    /// The driver writes.
    Write = bindings::IOMMU_WRITE as isize,
}

/// A page that is pinned.
struct Pinned {
    page: NonNull<bindings::page>,
    iova: u64,
    access: Access,
}

// SAFETY: A page belongs to no thread, and who has this value alone uses it.
unsafe impl Send for Pinned {}

struct Slots {
    slots: KVec<Option<Pinned>>,
    /// The one that has to go next.
    oldest: usize,
}

/// The pages that the driver of one device keeps pinned.
///
/// # Invariants
///
/// What is in a slot is pinned for the device, from when it was put there until it is taken out.
#[pin_data]
pub(crate) struct Pins {
    #[pin]
    state: Mutex<Slots>,
}

/// A device that is open: a `struct vfio_device *`.
type Opened = *mut bindings::vfio_device;

impl Pins {
    /// Room for so many pages, at least one.
    pub(crate) fn new(pages: usize) -> Result<Pin<KBox<Self>>> {
        let mut slots = KVec::with_capacity(pages, GFP_KERNEL)?;
        for _ in 0..pages {
            slots.push(None, GFP_KERNEL)?;
        }
        let state = Slots { slots, oldest: 0 };
        KBox::pin_init(
            pin_init!(Self {
                state <- new_mutex!(state, "linux_vfio_pins"),
            }),
            GFP_KERNEL,
        )
    }

    /// Calls `f` with each page of `len` bytes from `iova` on, the offset in it, and where that is in the range.
    ///
    /// # Safety
    ///
    /// `vdev` is open, and has these pins. What `f` does to a page goes with `access`.
    unsafe fn for_each(
        &self,
        vdev: Opened,
        iova: Iova,
        len: usize,
        access: Access,
        mut f: impl FnMut(NonNull<bindings::page>, usize, core::ops::Range<usize>),
    ) -> Result {
        let mut done = 0usize;
        while done < len {
            let at = iova.raw().checked_add(done as u64).ok_or(EINVAL)?;
            let offset = (at % PAGE_SIZE) as usize;
            let end = len.min(done.saturating_add((PAGE_SIZE as usize).saturating_sub(offset)));
            // Until this is dropped the page stays: who unpins takes the lock.
            let mut state = self.state.lock();
            // SAFETY: As required of us.
            let page = unsafe { state.find_or_pin(vdev, at.wrapping_sub(offset as u64), access) }?;
            f(page, offset, done..end);
            done = end;
        }
        Ok(())
    }

    /// Reads memory of the user.
    ///
    /// # Safety
    ///
    /// `vdev` is open, and has these pins.
    pub(crate) unsafe fn read(&self, vdev: Opened, iova: Iova, data: &mut [u8]) -> Result {
        let len = data.len();
        // SAFETY: As required of us; the helper only reads.
        unsafe {
            self.for_each(vdev, iova, len, Access::Read, |page, offset, range| {
                if let Some(piece) = data.get_mut(range) {
                    let to = piece.as_mut_ptr().cast();
                    bindings::siov_helper_page_read(page.as_ptr(), offset, to, piece.len());
                }
            })
        }
    }

    /// Writes memory of the user.
    ///
    /// # Safety
    ///
    /// `vdev` is open, and has these pins.
    pub(crate) unsafe fn write(&self, vdev: Opened, iova: Iova, data: &[u8]) -> Result {
        let len = data.len();
        // SAFETY: As required of us; the page is pinned for writing.
        unsafe {
            self.for_each(vdev, iova, len, Access::Write, |page, offset, range| {
                if let Some(piece) = data.get(range) {
                    let from = piece.as_ptr().cast();
                    bindings::siov_helper_page_write(page.as_ptr(), offset, from, piece.len());
                }
            })
        }
    }

    /// Lets go of all pages in `len` bytes from `iova` on.
    ///
    /// # Safety
    ///
    /// `vdev` is open, and has these pins.
    pub(crate) unsafe fn forget(&self, vdev: Opened, iova: u64, len: u64) {
        let mut state = self.state.lock();
        for slot in state.slots.iter_mut() {
            let is_meant = |pin: &mut Pinned| pin.iova.wrapping_sub(iova) < len;
            if let Some(pin) = slot.take_if(is_meant) {
                // SAFETY: As required of us; taken out of its slot.
                unsafe { unpin(vdev, &pin) };
            }
        }
    }
}

impl Slots {
    /// The page at `iova`, a multiple of its size.
    ///
    /// # Safety
    ///
    /// `vdev` is open, and has these pins.
    unsafe fn find_or_pin(
        &mut self,
        vdev: Opened,
        iova: u64,
        access: Access,
    ) -> Result<NonNull<bindings::page>> {
        let mut known = self.slots.iter().flatten();
        if let Some(pin) = known.find(|pin| pin.iova == iova && pin.access == access) {
            return Ok(pin.page);
        }
        let oldest = self.oldest;
        let slot = self.slots.get_mut(oldest).ok_or(EINVAL)?;
        if let Some(old) = slot.take() {
            // SAFETY: As required of us; taken out of its slot.
            unsafe { unpin(vdev, &old) };
        }
        // SAFETY: As required of us.
        let pin = unsafe { pin(vdev, iova, access) }?;
        let page = pin.page;
        *slot = Some(pin);
        self.oldest = oldest.wrapping_add(1);
        if self.oldest >= self.slots.len() {
            self.oldest = 0;
        }
        Ok(page)
    }
}

/// # Safety
///
/// `vdev` is open.
unsafe fn pin(vdev: Opened, iova: u64, access: Access) -> Result<Pinned> {
    let mut page = core::ptr::null_mut();
    // SAFETY: As required of us; there is room for one page.
    let ret = unsafe { bindings::vfio_pin_pages(vdev, iova, 1, access as i32, &mut page) };
    to_result(ret)?;
    let page = NonNull::new(page).ok_or(EFAULT)?;
    Ok(Pinned { page, iova, access })
}

/// # Safety
///
/// `vdev` is open, the page was pinned for it, and is not used afterwards.
unsafe fn unpin(vdev: Opened, pin: &Pinned) {
    // SAFETY: As required of us.
    unsafe { bindings::vfio_unpin_pages(vdev, pin.iova, 1) };
}

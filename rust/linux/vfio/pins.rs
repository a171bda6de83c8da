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

use crate::device::Opened;
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

/// The C functions called here.
mod c {
    use super::Opened;
    use linux::bindings;

    // SAFETY: These want an open device, and room for as many pages. What is not pinned cannot be unpinned, which
    // VFIO warns of; what is unpinned is no more used, as the invariant of `Pins` says.
    linux::c_functions!(unsafe {
        pub(super) fn vfio_pin_pages(
            vdev: &Opened,
            iova: u64,
            count: i32,
            prot: i32,
            pages: *mut *mut bindings::page,
        ) -> i32;
        pub(super) fn vfio_unpin_pages(vdev: &Opened, iova: u64, count: i32);
    });
}

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

    /// Calls `f` with each page of `len` bytes from `iova` on of the device that has these pins, the offset in
    /// it, and where that is in the range.
    fn for_each(
        &self,
        vdev: &Opened,
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
            let page = state.find_or_pin(vdev, at.wrapping_sub(offset as u64), access)?;
            f(page, offset, done..end);
            done = end;
        }
        Ok(())
    }

    /// Reads memory of the user of the device that has these pins.
    pub(crate) fn read(&self, vdev: &Opened, iova: Iova, data: &mut [u8]) -> Result {
        let len = data.len();
        self.for_each(vdev, iova, len, Access::Read, |page, offset, range| {
            if let Some(piece) = data.get_mut(range) {
                let to = piece.as_mut_ptr().cast();
                // SAFETY: The page is pinned, and the piece lies in it as in `data`.
                unsafe { bindings::siov_helper_page_read(page.as_ptr(), offset, to, piece.len()) };
            }
        })
    }

    /// Writes memory of the user of the device that has these pins.
    pub(crate) fn write(&self, vdev: &Opened, iova: Iova, data: &[u8]) -> Result {
        let len = data.len();
        self.for_each(vdev, iova, len, Access::Write, |page, offset, range| {
            if let Some(piece) = data.get(range) {
                let from = piece.as_ptr().cast();
                // SAFETY: As above, and it is pinned for writing.
                unsafe {
                    bindings::siov_helper_page_write(page.as_ptr(), offset, from, piece.len())
                };
            }
        })
    }

    /// Lets go of all pages in `len` bytes from `iova` on of the device that has these pins.
    pub(crate) fn forget(&self, vdev: &Opened, iova: u64, len: u64) {
        let mut state = self.state.lock();
        for slot in state.slots.iter_mut() {
            let is_meant = |pin: &mut Pinned| pin.iova.wrapping_sub(iova) < len;
            if let Some(pin) = slot.take_if(is_meant) {
                c::vfio_unpin_pages(vdev, pin.iova, 1);
            }
        }
    }
}

impl Slots {
    /// The page at `iova`, a multiple of its size.
    fn find_or_pin(
        &mut self,
        vdev: &Opened,
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
            c::vfio_unpin_pages(vdev, old.iova, 1);
        }
        let pin = pin(vdev, iova, access)?;
        let page = pin.page;
        *slot = Some(pin);
        self.oldest = oldest.wrapping_add(1);
        if self.oldest >= self.slots.len() {
            self.oldest = 0;
        }
        Ok(page)
    }
}

fn pin(vdev: &Opened, iova: u64, access: Access) -> Result<Pinned> {
    let mut page = core::ptr::null_mut();
    to_result(c::vfio_pin_pages(
        vdev,
        iova,
        1,
        access as i32,
        &raw mut page,
    ))?;
    let page = NonNull::new(page).ok_or(EFAULT)?;
    Ok(Pinned { page, iova, access })
}

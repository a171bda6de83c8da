// SPDX-License-Identifier: GPL-2.0

//! Pages of a user's memory that a driver keeps pinned while it works on them.
//!
//! The memory of an emulated device is not pinned when the user maps it, but page by page when its
//! driver wants it. A page stays pinned until the user unmaps it, the device is closed, or newer
//! pages need its place. The user pays for what is pinned.
//!
//! Locks: that of [`Pins`] is taken inside of those of the driver and outside of those of the
//! container that pinning takes. Of an unmapping VFIO informs drivers with none of these held.
//!
//! C header: [`include/linux/vfio.h`](srctree/include/linux/vfio.h)

use crate::open::OpenDevice;
use core::ops::Range;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use linux::bindings;
use linux::object::Object;
use siov_types::{Iova, IovaRange, PAGE_SIZE};

/// What a page is pinned for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Access {
    /// The driver reads.
    Read,
    /// The driver writes.
    Write,
}

impl Access {
    fn prot(self) -> u32 {
        match self {
            Self::Read => bindings::IOMMU_READ,
            Self::Write => bindings::IOMMU_WRITE,
        }
    }
}

/// A page that is pinned.
struct Pinned {
    page: NonNull<bindings::page>,
    /// Where the device has it: the start of a page.
    iova: Iova,
    access: Access,
}

// SAFETY: A page belongs to no thread, and is used by the owner of this value alone.
unsafe impl Send for Pinned {}

struct Slots {
    slots: KVec<Option<Pinned>>,
    /// The slot that is emptied next.
    oldest: usize,
}

/// The pages that the driver of one device keeps pinned. All functions are given that device.
///
/// # Invariants
///
/// What is in a slot is pinned for the device, from when it was put there until it is taken out.
/// When the device is not open, all slots are empty.
#[pin_data]
pub(crate) struct Pins {
    #[pin]
    state: Mutex<Slots>,
}

impl Pins {
    /// Room for so many pages, at least one.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
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

    /// Calls `f` with each page of `len` bytes from `iova` on, the offset in it, and where that is
    /// in the range.
    fn for_each(
        &self,
        vdev: &OpenDevice,
        iova: Iova,
        len: usize,
        access: Access,
        mut f: impl FnMut(NonNull<bindings::page>, usize, Range<usize>),
    ) -> Result {
        let mut done = 0;
        while done < len {
            let at = iova.checked_add(done as u64).ok_or(EINVAL)?;
            let start = at.align_down(PAGE_SIZE);
            let offset = (at.raw() - start.raw()) as usize;
            // No overflow: `done` is below `len`, the length of a slice, and a page is not longer
            // than half the address space.
            let end = len.min(done + (PAGE_SIZE as usize - offset));
            // The page stays until this is dropped: unpinning takes the lock.
            let mut state = self.state.lock();
            let page = state.find_or_pin(vdev, start, access)?;
            f(page, offset, done..end);
            done = end;
        }
        Ok(())
    }

    /// Reads memory of the user.
    ///
    /// # Errors
    ///
    /// Those of `vfio_pin_pages()`; `EINVAL` past the end of the address space.
    pub(crate) fn read(&self, vdev: &OpenDevice, iova: Iova, data: &mut [u8]) -> Result {
        let len = data.len();
        self.for_each(vdev, iova, len, Access::Read, |page, offset, range| {
            if let Some(piece) = data.get_mut(range) {
                let to = piece.as_mut_ptr().cast();
                // SAFETY: The page is pinned, and the piece lies in it as in `data`.
                unsafe { bindings::siov_helper_page_read(page.as_ptr(), offset, to, piece.len()) };
            }
        })
    }

    /// Writes memory of the user.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub(crate) fn write(&self, vdev: &OpenDevice, iova: Iova, data: &[u8]) -> Result {
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

    /// Unpins all pages in `len` bytes from `iova` on; all there are, should that not be a range.
    pub(crate) fn unpin(&self, vdev: &OpenDevice, iova: Iova, len: u64) {
        let range = IovaRange::from_len(iova, len).unwrap_or(IovaRange::ALL);
        let mut state = self.state.lock();
        for slot in state.slots.iter_mut() {
            let is_meant = |pin: &mut Pinned| (range.first()..=range.last()).contains(&pin.iova);
            if let Some(pin) = slot.take_if(is_meant) {
                pin.unpin(vdev);
            }
        }
    }

    /// Unpins all pages.
    pub(crate) fn unpin_all(&self, vdev: &OpenDevice) {
        let mut state = self.state.lock();
        for pin in state.slots.iter_mut().filter_map(Option::take) {
            pin.unpin(vdev);
        }
    }
}

impl Slots {
    /// The page at `iova`, the start of a page.
    fn find_or_pin(
        &mut self,
        vdev: &OpenDevice,
        iova: Iova,
        access: Access,
    ) -> Result<NonNull<bindings::page>> {
        let mut known = self.slots.iter().flatten();
        if let Some(pin) = known.find(|pin| pin.iova == iova && pin.access == access) {
            return Ok(pin.page);
        }
        let slot = self.slots.get_mut(self.oldest).ok_or(EINVAL)?;
        if let Some(old) = slot.take() {
            old.unpin(vdev);
        }
        let pin = Pinned::new(vdev, iova, access)?;
        let page = pin.page;
        // INVARIANT: Pinned just now.
        *slot = Some(pin);
        // No overflow: an index of the vector.
        self.oldest += 1;
        if self.oldest == self.slots.len() {
            self.oldest = 0;
        }
        Ok(page)
    }
}

impl Pinned {
    /// Pins the page at `iova` for the driver of `vdev`.
    fn new(vdev: &OpenDevice, iova: Iova, access: Access) -> Result<Self> {
        let mut page = core::ptr::null_mut();
        let (at, prot) = (iova.raw(), access.prot() as i32);
        // SAFETY: The device is open, and there is room for one page.
        let pinned = unsafe { bindings::vfio_pin_pages(vdev.as_raw(), at, 1, prot, &raw mut page) };
        to_result(pinned)?;
        let page = NonNull::new(page).ok_or(EFAULT)?;
        Ok(Self { page, iova, access })
    }

    /// Unpins it, for `vdev` which it was pinned for.
    fn unpin(self, vdev: &OpenDevice) {
        // SAFETY: The device is open, and the page was pinned for it; it is not used any more.
        unsafe { bindings::vfio_unpin_pages(vdev.as_raw(), self.iova.raw(), 1) };
    }
}

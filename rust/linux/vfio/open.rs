// SPDX-License-Identifier: GPL-2.0

//! A device that is open, as drivers are given it: the way to its user's memory.

use crate::pins::Pins;
use kernel::device::Bound;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::Opaque;
use linux::bindings;
use linux::object::Object;
use siov_types::Iova;

/// A `struct vfio_device` that is open.
#[repr(transparent)]
pub(crate) struct OpenDevice(Opaque<bindings::vfio_device>);

// SAFETY: A transparent `Opaque`. References are made to devices that are open, as long as they
// are.
unsafe impl Object<bindings::vfio_device> for OpenDevice {}

impl OpenDevice {
    /// Copies memory of the user to `data`.
    fn read(&self, iova: Iova, data: &mut [u8]) -> Result {
        let (to, len) = (data.as_mut_ptr().cast(), data.len());
        // SAFETY: The device is open, and there is room for so many bytes.
        to_result(unsafe { bindings::vfio_dma_rw(self.as_raw(), iova.raw(), to, len, false) })
    }

    /// Copies `data` to memory of the user.
    fn write(&self, iova: Iova, data: &[u8]) -> Result {
        let (from, len) = (data.as_ptr().cast_mut().cast(), data.len());
        // SAFETY: The device is open, and there are so many bytes, which are only read.
        to_result(unsafe { bindings::vfio_dma_rw(self.as_raw(), iova.raw(), from, len, true) })
    }
}

/// A device that is open, as long as `'a`: in its callbacks, nowhere else.
#[derive(Clone, Copy)]
pub struct Handle<'a> {
    vdev: &'a OpenDevice,
    pins: Option<&'a Pins>,
}

impl<'a> Handle<'a> {
    /// `pins` are those of `vdev`.
    pub(crate) fn new(vdev: &'a OpenDevice, pins: Option<&'a Pins>) -> Self {
        Self { vdev, pins }
    }

    /// Reads memory of the user.
    ///
    /// # Errors
    ///
    /// `EINVAL` or `EFAULT` for a range that is not mapped.
    pub fn read_memory(self, iova: Iova, data: &mut [u8]) -> Result {
        self.vdev.read(iova, data)
    }

    /// Writes memory of the user.
    ///
    /// # Errors
    ///
    /// As [`Self::read_memory`], and `EPERM` or `EFAULT` where it may only be read.
    pub fn write_memory(self, iova: Iova, data: &[u8]) -> Result {
        self.vdev.write(iova, data)
    }

    /// Reads memory of the user, by pages that stay pinned until the user unmaps them or others
    /// need their place: for what is worked on again.
    ///
    /// # Errors
    ///
    /// `EINVAL` for memory that is not mapped, or without [`Device::PINNED_PAGES`], `EPERM` for
    /// what may not be read, `ENOMEM` beyond the user's limit. Pages before the one that fails have
    /// been read.
    ///
    /// [`Device::PINNED_PAGES`]: crate::device::Device::PINNED_PAGES
    pub fn read_pinned(self, iova: Iova, data: &mut [u8]) -> Result {
        self.pins.ok_or(EINVAL)?.read(self.vdev, iova, data)
    }

    /// Writes memory of the user, as [`Self::read_pinned`] reads it.
    ///
    /// # Errors
    ///
    /// As [`Self::read_pinned`].
    pub fn write_pinned(self, iova: Iova, data: &[u8]) -> Result {
        self.pins.ok_or(EINVAL)?.write(self.vdev, iova, data)
    }

    /// Unpins everything.
    pub(crate) fn unpin_all(self) {
        if let Some(pins) = self.pins {
            pins.unpin_all(self.vdev);
        }
    }

    /// Unpins the pages in `len` bytes from `iova` on.
    pub(crate) fn unpin(self, iova: Iova, len: u64) {
        if let Some(pins) = self.pins {
            pins.unpin(self.vdev, iova, len);
        }
    }

    /// The device that was registered. Its driver stays bound as long as it is open.
    pub fn dev(self) -> &'a kernel::device::Device<Bound> {
        // SAFETY: A field of a valid device, which does not change.
        let dev = unsafe { (*self.vdev.as_raw()).dev };
        // SAFETY: What is open is registered, and only devices with a driver are, until it has been
        // unbound.
        unsafe { kernel::device::Device::from_raw(dev) }
    }
}

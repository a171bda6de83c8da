// SPDX-License-Identifier: GPL-2.0

//! VFIO devices: what a driver offers to user space.
//!
//! A driver implements [`Device`]; [`Registration`] offers one to user space. The core of VFIO calls
//! `open` and `close` in turn, and everything else only in between, from several threads at once.

use crate::device_access::{mmap, read, write};
use crate::device_ioctl::ioctl;
use crate::device_region::region_info;
pub use crate::device_region::RegionKind;
use crate::pins::Pins;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use kernel::error::{from_err_ptr, from_result, to_result};
use kernel::prelude::*;
use kernel::types::Opaque;
use linux::abi::{callback1, callback2, callback3, callback4, Object};
use linux::bindings;
use linux::c_objects;
use siov_types::{Iova, PhysAddr};

/// One region of a device.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    /// In bytes; 0 when there is none with this index.
    pub size: u64,
    /// Whether it may be read and written.
    pub read: bool,
    /// As `read`.
    pub write: bool,
    /// Whether it may be mapped.
    pub mmap: bool,
    /// What it holds.
    pub kind: RegionKind,
}

impl Region {
    /// No such region.
    pub const NONE: Self = Self {
        size: 0,
        read: false,
        write: false,
        mmap: false,
        kind: RegionKind::Indexed,
    };
}

/// Interrupts with one index (`struct vfio_irq_info`).
#[derive(Clone, Copy, Debug)]
pub struct Interrupts {
    /// How many; 0 when there are none with this index.
    pub count: u32,
    /// Whether the set may only be changed as a whole (`VFIO_IRQ_INFO_NORESIZE`).
    pub fixed: bool,
}

/// What becomes of interrupts `start..start + n` (`VFIO_DEVICE_SET_IRQS`).
#[derive(Debug)]
pub enum SetInterrupts<'a> {
    /// Signal these eventfds from now on; a negative number is none.
    Trigger(&'a [i32]),
    /// Signal nothing any more, for all interrupts with this index.
    Disable,
    /// Behave as if these interrupts had come, for tests; one flag each.
    Loopback(&'a [bool]),
}

/// A driver of VFIO devices.
pub trait Device: Sized + Send + Sync + 'static {
    /// As `/sys/kernel/debug/vfio` and messages show it.
    const NAME: &'static CStr;
    /// What the device looks like: `VFIO_DEVICE_FLAGS_*`, without RESET.
    const FLAGS: u32;
    /// Number of regions.
    const REGIONS: u32;
    /// Number of indices of interrupts.
    const INTERRUPTS: u32;
    /// How many pages of its user the driver keeps pinned for [`Handle::read_pinned`] and
    /// [`Handle::write_pinned`], at most.
    const PINNED_PAGES: usize = 0;

    /// The first user opens the device: its address space is that of the user's container now.
    ///
    /// # Errors
    ///
    /// Go to the user. The device is as before.
    fn open(&self, user: Handle<'_>) -> Result;

    /// The last user has gone. On return the device does no more DMA.
    fn close(&self, user: Handle<'_>);

    /// The region with this index.
    fn region(&self, index: u32) -> Region;

    /// Reads `data.len()` bytes at `offset`, both checked to lie in the region; 1, 2, 4 or 8 bytes,
    /// aligned to that.
    fn read(&self, user: Handle<'_>, region: u32, offset: u64, data: &mut [u8]) -> Result;

    /// Writes as [`Self::read`] reads.
    fn write(&self, user: Handle<'_>, region: u32, offset: u64, data: &[u8]) -> Result;

    /// Where the pages of a region that may be mapped lie in physical memory.
    fn map(&self, region: u32) -> Result<PhysAddr>;

    /// The interrupts with this index.
    fn interrupts(&self, index: u32) -> Interrupts;

    /// Sets interrupts with this index, from `start` on; checked to exist.
    fn set_interrupts(&self, index: u32, start: u32, what: SetInterrupts<'_>) -> Result;

    /// Back to the state after `open`.
    fn reset(&self, user: Handle<'_>) -> Result;

    /// The device shall go; the user is asked for the `count`th time.
    fn request(&self, count: u32);
}

// SAFETY: References are made to devices that VFIO has initialised and that are open, which it locks.
c_objects!(unsafe {
    /// A device that is open.
    pub(crate) struct Opened(bindings::vfio_device);
});

/// The C functions called here.
mod c {
    use super::{Iova, Opened};

    // SAFETY: Wants an open device, and memory of `len` bytes, which it only reads when `write` is set: it is
    // called below alone.
    linux::c_functions!(unsafe {
        fn vfio_dma_rw(
            vdev: &Opened,
            iova: u64,
            data: *mut core::ffi::c_void,
            len: usize,
            write: bool,
        ) -> i32;
    });

    /// Copies memory of the user to `data`.
    pub(super) fn read(vdev: &Opened, iova: Iova, data: &mut [u8]) -> i32 {
        vfio_dma_rw(
            vdev,
            iova.raw(),
            data.as_mut_ptr().cast(),
            data.len(),
            false,
        )
    }

    /// Copies `data` to memory of the user.
    pub(super) fn write(vdev: &Opened, iova: Iova, data: &[u8]) -> i32 {
        let start = data.as_ptr().cast_mut().cast();
        vfio_dma_rw(vdev, iova.raw(), start, data.len(), true)
    }
}

/// An open device, towards the container of its user.
#[derive(Clone, Copy)]
pub struct Handle<'a> {
    vdev: &'a Opened,
    pins: Option<&'a Pins>,
}

impl Handle<'_> {
    /// Reads memory of the user.
    ///
    /// # Errors
    ///
    /// `EINVAL` or `EFAULT` for a range that is not mapped.
    pub fn read_memory(self, iova: Iova, data: &mut [u8]) -> Result {
        to_result(c::read(self.vdev, iova, data))
    }

    /// Writes memory of the user. Errors as [`Self::read_memory`], and `EPERM` or `EFAULT` where it
    /// may only be read.
    pub fn write_memory(self, iova: Iova, data: &[u8]) -> Result {
        to_result(c::write(self.vdev, iova, data))
    }

    /// Reads memory of the user, by pages that stay pinned until the user unmaps them or others need their
    /// place: for what is worked on again.
    ///
    /// # Errors
    ///
    /// `EINVAL` for memory that is not mapped, or without [`Device::PINNED_PAGES`], `EPERM` for what may not be
    /// read, `ENOMEM` beyond the user's limit. Pages before the one that fails have been read.
    pub fn read_pinned(self, iova: Iova, data: &mut [u8]) -> Result {
        let pins = self.pins.ok_or(EINVAL)?;
        pins.read(self.vdev, iova, data)
    }

    /// Writes as [`Self::read_pinned`] reads.
    pub fn write_pinned(self, iova: Iova, data: &[u8]) -> Result {
        let pins = self.pins.ok_or(EINVAL)?;
        pins.write(self.vdev, iova, data)
    }

    /// The device that was registered.
    pub fn dev(&self) -> &kernel::device::Device {
        // SAFETY: It stays registered while open.
        unsafe { kernel::device::Device::from_raw((*self.vdev.as_raw()).dev) }
    }
}

/// A VFIO device: the C structure and the driver's.
#[repr(C)]
pub(crate) struct Container<T: Device> {
    vdev: Opaque<bindings::vfio_device>,
    /// VFIO's allocation begins as zeroes, and so as `None`.
    data: Option<Pin<KBox<T>>>,
    pins: Option<Pin<KBox<Pins>>>,
}

// SAFETY: The C structure is the first field.
unsafe impl<T: Device> Object<bindings::vfio_device> for Container<T> {}

impl<T: Device> Container<T> {
    /// The driver's data, and the device as its functions are passed it.
    pub(crate) fn parts(&self) -> Result<(&T, Handle<'_>)> {
        let handle = Handle {
            // SAFETY: Callbacks are called for open devices, with the device of the container.
            vdev: unsafe { &*self.as_raw().cast() },
            pins: self.pins.as_deref(),
        };
        Ok((self.data.as_deref().ok_or(ENODEV)?, handle))
    }
}

/// A device that user space can open. Dropping it asks users to let go, waits until they have, and
/// takes the device away.
pub struct Registration<T: Device>(NonNull<Container<T>>);

// SAFETY: `T` is, and the C structure belongs to VFIO.
unsafe impl<T: Device> Send for Registration<T> {}
// SAFETY: As above.
unsafe impl<T: Device> Sync for Registration<T> {}

impl<T: Device> Registration<T> {
    /// Offers `data` as the VFIO device of `dev`, which has no IOMMU of its own: a mediated device.
    ///
    /// # Safety
    ///
    /// `dev` is being bound to a driver, and the registration is dropped before it is unbound.
    pub unsafe fn emulated(
        dev: *mut bindings::device,
        data: impl PinInit<T, Error>,
    ) -> Result<Self> {
        let data = KBox::pin_init(data, GFP_KERNEL)?;
        let pins = match T::PINNED_PAGES {
            0 => None,
            pages => Some(Pins::new(pages)?),
        };
        // SAFETY: The size is that of our structure, which begins with VFIO's.
        let vdev = from_err_ptr(unsafe {
            bindings::_vfio_alloc_device(size_of::<Container<T>>(), dev, Self::OPS)
        })?;
        let this = NonNull::new(vdev.cast::<Container<T>>()).ok_or(ENOMEM)?;
        // SAFETY: VFIO made the device, and nobody else knows it yet. Zeroes are a `None`.
        let registered = to_result(unsafe {
            (*this.as_ptr()).data = Some(data);
            (*this.as_ptr()).pins = pins;
            bindings::vfio_register_emulated_iommu_dev(vdev)
        });
        if let Err(e) = registered {
            // SAFETY: Gives back the only reference, which runs `release`.
            unsafe { bindings::put_device(&raw mut (*vdev).device) };
            return Err(e);
        }
        Ok(Self(this))
    }

    /// For `dev_set_drvdata()`.
    pub fn into_raw(self) -> *mut core::ffi::c_void {
        ManuallyDrop::new(self).0.as_ptr().cast()
    }

    /// # Safety
    ///
    /// `raw` comes from `into_raw` of the same type, once.
    pub unsafe fn from_raw(raw: *mut core::ffi::c_void) -> Option<Self> {
        NonNull::new(raw.cast()).map(Self)
    }

    fn vdev(&self) -> *mut bindings::vfio_device {
        self.0.as_ptr().cast()
    }

    const OPS: &'static bindings::vfio_device_ops = &bindings::vfio_device_ops {
        name: name::<T>(),
        release: Some(Self::release),
        open_device: Some(callback1(Self::open_device)),
        close_device: Some(callback1(Self::close_device)),
        read: Some(callback4(read::<T>)),
        write: Some(callback4(write::<T>)),
        ioctl: Some(callback3(ioctl::<T>)),
        get_region_info_caps: Some(callback3(region_info::<T>)),
        mmap: Some(callback2(mmap::<T>)),
        request: Some(callback2(Self::request)),
        dma_unmap: if T::PINNED_PAGES == 0 {
            None
        } else {
            Some(callback3(Self::dma_unmap))
        },
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by VFIO when the last reference to the device is gone.
    unsafe extern "C" fn release(vdev: *mut bindings::vfio_device) {
        // SAFETY: As required of us; nobody uses the data any more.
        unsafe {
            drop((*vdev.cast::<Container<T>>()).data.take());
            drop((*vdev.cast::<Container<T>>()).pins.take());
        }
    }

    extern "C" fn open_device(device: &Container<T>) -> i32 {
        from_result(|| {
            let (data, user) = device.parts()?;
            data.open(user)?;
            Ok(0)
        })
    }

    extern "C" fn close_device(device: &Container<T>) {
        if let Ok((data, user)) = device.parts() {
            data.close(user);
            if let Some(pins) = user.pins {
                pins.forget(user.vdev, 0, u64::MAX);
            }
        }
    }

    extern "C" fn dma_unmap(device: &Container<T>, iova: u64, len: u64) {
        if let Ok((_, user)) = device.parts() {
            if let Some(pins) = user.pins {
                pins.forget(user.vdev, iova, len);
            }
        }
    }

    extern "C" fn request(device: &Container<T>, count: u32) {
        if let Ok((data, _)) = device.parts() {
            data.request(count);
        }
    }
}

impl<T: Device> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: Registered in `emulated`, with one reference from there.
        unsafe {
            bindings::vfio_unregister_group_dev(self.vdev());
            bindings::put_device(&raw mut (*self.vdev()).device);
        }
    }
}

// Kernel code takes `as_char_ptr()`, which is not const.
#[allow(clippy::disallowed_methods)]
const fn name<T: Device>() -> *mut kernel::ffi::c_char {
    T::NAME.as_ptr().cast_mut().cast()
}

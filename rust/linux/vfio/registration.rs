// SPDX-License-Identifier: GPL-2.0

//! Offering a device to user space.

use crate::device::{Device, Handle};
use crate::device_access::{mmap, read, write, NewMapping};
use crate::device_ioctl::ioctl;
use crate::device_region::{region_info, Capabilities, Info};
use crate::open::OpenDevice;
use crate::pins::Pins;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::device::Bound;
use kernel::devres;
use kernel::error::{from_err_ptr, from_result, to_result};
use kernel::ffi::{c_char, c_int, c_uint};
use kernel::prelude::*;
use kernel::types::Opaque;
use linux::bindings;
use linux::callback::{Call, FromC};
use linux::module;
use linux::object::Object;
use siov_types::Iova;

/// A VFIO device: the C structure and the driver's data.
#[repr(C)]
pub(crate) struct Container<T: Device> {
    vdev: Opaque<bindings::vfio_device>,
    /// There while the device is registered.
    data: Option<Pin<KBox<T>>>,
    pins: Option<Pin<KBox<Pins>>>,
    /// What VFIO calls: here, because it looks there when it frees the structure, which may be
    /// after the module is gone.
    ops: bindings::vfio_device_ops,
}

// SAFETY: It begins with a transparent `Opaque`, which VFIO initialises.
unsafe impl<T: Device> Object<bindings::vfio_device> for Container<T> {}

impl<T: Device> Container<T> {
    /// VFIO allocates the structure with the alignment that any allocation has
    /// (`ARCH_KMALLOC_MINALIGN`).
    const ALIGNED: () = assert!(align_of::<Self>() <= 8);

    /// The device whose registration this is. Its driver stays bound until it is unregistered.
    fn dev(&self) -> &kernel::device::Device<Bound> {
        // SAFETY: A field of a valid device, which does not change.
        let dev = unsafe { (*self.as_raw()).dev };
        // SAFETY: `register_emulated` takes devices with a driver, and unbinding that begins with
        // unregistering.
        unsafe { kernel::device::Device::from_raw(dev) }
    }
}

/// An open device, in one of its callbacks.
///
/// As a parameter of a callback it demands a pointer to a [`Container<T>`](Container) that is
/// registered and open until the call ends.
pub(crate) struct Open<'call, T: Device>(&'call Container<T>);

impl<'call, T: Device> FromC<'call, *mut bindings::vfio_device> for Open<'call, T> {
    #[inline(always)]
    unsafe fn from_c(c: *mut bindings::vfio_device, _call: &'call Call) -> Self {
        // SAFETY: As required of us.
        Self(unsafe { &*c.cast() })
    }
}

impl<'call, T: Device> Open<'call, T> {
    /// The driver's data, and the device as its functions are passed it.
    pub(crate) fn parts(&self) -> Result<(&'call T, Handle<'call>)> {
        let data = self.0.data.as_deref().ok_or(ENODEV)?;
        Ok((data, self.handle()))
    }

    fn handle(&self) -> Handle<'call> {
        let vdev = self.0.as_raw();
        // SAFETY: Open until the call ends.
        let vdev: &OpenDevice = unsafe { &*vdev.cast() };
        Handle::new(vdev, self.0.pins.as_deref())
    }
}

/// An allocated device that nothing uses: not registered yet, or not any more.
struct Allocated<T: Device>(NonNull<Container<T>>);

impl<T: Device> Allocated<T> {
    fn new(dev: &kernel::device::Device<Bound>, data: Pin<KBox<T>>) -> Result<Self> {
        let () = Container::<T>::ALIGNED;
        let pins = match T::PINNED_PAGES {
            0 => None,
            pages => Some(Pins::new(pages)?),
        };
        let size = size_of::<Container<T>>();
        // SAFETY: The size is that of our structure, which begins with VFIO's; the operations are
        // constant.
        let vdev = from_err_ptr(unsafe {
            bindings::_vfio_alloc_device(size, dev.as_raw(), Adapter::<T>::OPS)
        })?;
        let this = NonNull::new(vdev.cast::<Container<T>>()).ok_or(ENOMEM)?;
        // SAFETY: A field of memory for our structure.
        let to = unsafe { &raw mut (*this.as_ptr()).data };
        // SAFETY: Nothing else uses it.
        unsafe { to.write(Some(data)) };
        // SAFETY: A field of memory for our structure.
        let to = unsafe { &raw mut (*this.as_ptr()).pins };
        // SAFETY: Nothing else uses it.
        unsafe { to.write(pins) };
        // SAFETY: A field of memory for our structure.
        let ops = unsafe { &raw mut (*this.as_ptr()).ops };
        // SAFETY: Nothing else uses it.
        unsafe { ops.write(*Adapter::<T>::OPS) };
        // SAFETY: A field of a device that is not registered, and does not outlive what it leads
        // to.
        unsafe { (*vdev).ops = ops };
        Ok(Self(this))
    }

    fn vdev(&self) -> *mut bindings::vfio_device {
        self.0.as_ptr().cast()
    }
}

impl<T: Device> Drop for Allocated<T> {
    fn drop(&mut self) {
        // SAFETY: Nothing else uses the data.
        drop(unsafe { (*self.0.as_ptr()).data.take() });
        // SAFETY: As above.
        drop(unsafe { (*self.0.as_ptr()).pins.take() });
        // SAFETY: A field of a valid device.
        let device = unsafe { &raw mut (*self.vdev()).device };
        // SAFETY: The reference that allocating it has left us.
        unsafe { bindings::put_device(device) };
    }
}

/// A device that user space can open. Dropping it asks users to close it, waits until they have,
/// and removes the device.
struct Registration<T: Device>(Allocated<T>);

// SAFETY: The C structure belongs to VFIO, which is called in any thread, and `T` is `Send`.
unsafe impl<T: Device> Send for Registration<T> {}

impl<T: Device> Registration<T> {
    fn new(device: Allocated<T>) -> Result<Self> {
        // SAFETY: Allocated, and initialised; `drop` unregisters it.
        to_result(unsafe { bindings::vfio_register_emulated_iommu_dev(device.vdev()) })?;
        Ok(Self(device))
    }
}

impl<T: Device> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: Registered in `new`. On return it is closed, and none of its callbacks runs.
        unsafe { bindings::vfio_unregister_group_dev(self.0.vdev()) };
    }
}

/// Offers `data` to user space as the VFIO device of `dev`, which has no IOMMU of its own: a
/// mediated device. It stays until the driver of `dev` is unbound, which asks users to close it and
/// waits until they have.
///
/// # Errors
///
/// `EINVAL` when the driver of `dev` is not code of this module, which has the device's operations;
/// those of `data`, `ENOMEM`, and those of `vfio_register_emulated_iommu_dev()`.
pub fn register_emulated<T: Device>(
    dev: &kernel::device::Device<Bound>,
    data: impl PinInit<T, Error>,
) -> Result {
    if !module::has_driver_of(dev) {
        return Err(EINVAL);
    }
    let data = KBox::pin_init(data, GFP_KERNEL)?;
    let registration = Registration::new(Allocated::new(dev, data)?)?;
    devres::register(dev, registration, GFP_KERNEL)
}

// Kernel code takes `as_char_ptr()`, which is not const.
#[allow(clippy::disallowed_methods)]
const fn name<T: Device>() -> *mut c_char {
    T::NAME.as_ptr().cast_mut().cast()
}

/// The C functions of one type of device.
struct Adapter<T: Device>(PhantomData<T>);

impl<T: Device> Adapter<T> {
    const OPS: &'static bindings::vfio_device_ops = &bindings::vfio_device_ops {
        name: name::<T>(),
        open_device: Some(Self::open_callback),
        close_device: Some(Self::close_callback),
        read: Some(Self::read_callback),
        write: Some(Self::write_callback),
        ioctl: Some(Self::ioctl_callback),
        get_region_info_caps: Some(Self::region_info_callback),
        mmap: Some(Self::mmap_callback),
        request: Some(Self::request_callback),
        dma_unmap: if T::PINNED_PAGES == 0 {
            None
        } else {
            Some(Self::dma_unmap_callback)
        },
        ..pin_init::zeroed()
    };

    linux::callbacks! {
        /// `vfio_device_ops::open_device`.
        ///
        /// # Safety
        ///
        /// For devices that [`Registration::new`] registers, to whose container VFIO has added the
        /// device.
        unsafe fn open_callback(device: *mut bindings::vfio_device => Open<'_, T>) -> c_int
            = Self::open;

        /// `vfio_device_ops::close_device`.
        ///
        /// # Safety
        ///
        /// For devices that [`Registration::new`] registers, before VFIO removes the device from
        /// its container.
        unsafe fn close_callback(device: *mut bindings::vfio_device => Open<'_, T>) = Self::close;

        /// `vfio_device_ops::dma_unmap`.
        ///
        /// # Safety
        ///
        /// For devices that [`Registration::new`] registers: containers call it for devices that
        /// they have, which are open.
        unsafe fn dma_unmap_callback(
            device: *mut bindings::vfio_device => Open<'_, T>,
            iova: u64 => u64,
            len: u64 => u64,
        ) = Self::dma_unmap;

        /// `vfio_device_ops::request`.
        ///
        /// # Safety
        ///
        /// For devices that [`Registration::new`] registers: VFIO calls it while they are
        /// unregistered.
        unsafe fn request_callback(
            device: *mut bindings::vfio_device => &Container<T>,
            count: c_uint => c_uint,
        ) = Self::request;

        /// `vfio_device_ops::read`.
        ///
        /// # Safety
        ///
        /// For devices that [`Registration::new`] registers: VFIO calls it for an open file, with a
        /// position that nothing else uses.
        unsafe fn read_callback(
            device: *mut bindings::vfio_device => Open<'_, T>,
            buf: *mut c_char => *mut c_char,
            count: usize => usize,
            pos: *mut bindings::loff_t => &mut i64,
        ) -> isize = read::<T>;

        /// `vfio_device_ops::write`.
        ///
        /// # Safety
        ///
        /// As [`Self::read_callback`].
        unsafe fn write_callback(
            device: *mut bindings::vfio_device => Open<'_, T>,
            buf: *const c_char => *const c_char,
            count: usize => usize,
            pos: *mut bindings::loff_t => &mut i64,
        ) -> isize = write::<T>;

        /// `vfio_device_ops::ioctl`.
        ///
        /// # Safety
        ///
        /// For devices that [`Registration::new`] registers: VFIO calls it for an open file.
        unsafe fn ioctl_callback(
            device: *mut bindings::vfio_device => Open<'_, T>,
            cmd: c_uint => c_uint,
            arg: usize => usize,
        ) -> isize = ioctl::<T>;

        /// `vfio_device_ops::get_region_info_caps`.
        ///
        /// # Safety
        ///
        /// For devices that [`Registration::new`] registers: VFIO calls it for an open file, with
        /// structures of its own.
        unsafe fn region_info_callback(
            device: *mut bindings::vfio_device => Open<'_, T>,
            info: *mut bindings::vfio_region_info => Info<'_>,
            caps: *mut bindings::vfio_info_cap => Capabilities<'_>,
        ) -> c_int = region_info::<T>;

        /// `vfio_device_ops::mmap`.
        ///
        /// # Safety
        ///
        /// For devices that [`Registration::new`] registers: VFIO calls it for an open file, and a
        /// mapping that is being made, which keeps the file open.
        unsafe fn mmap_callback(
            device: *mut bindings::vfio_device => Open<'_, T>,
            vma: *mut bindings::vm_area_struct => NewMapping<'_>,
        ) -> c_int = mmap::<T>;
    }

    fn open(device: Open<'_, T>) -> c_int {
        from_result(|| {
            let (data, user) = device.parts()?;
            // What `open` has pinned would not be unpinned by `close`, which is not called when it
            // fails.
            data.open(user).inspect_err(|_| user.unpin_all())?;
            Ok(0)
        })
    }

    fn close(device: Open<'_, T>) {
        if let Ok((data, user)) = device.parts() {
            data.close(user);
            user.unpin_all();
        }
    }

    fn dma_unmap(device: Open<'_, T>, iova: u64, len: u64) {
        device.handle().unpin(Iova::new(iova), len);
    }

    fn request(device: &Container<T>, count: c_uint) {
        if let Some(data) = &device.data {
            data.request(device.dev(), count);
        }
    }
}

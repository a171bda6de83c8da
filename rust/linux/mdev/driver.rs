// SPDX-License-Identifier: GPL-2.0

//! Registering a driver of parents.

use crate::parent::type_of;
use crate::{Driver, Mdev};
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::error::{from_result, to_result};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;
use linux::bindings;
use linux_vfio::device::Registration;

/// One type that a driver offers.
#[derive(Clone, Copy, Debug)]
pub struct TypeInfo {
    /// In sysfs, behind the name of the parent's driver.
    pub name: &'static CStr,
    /// For people.
    pub pretty: &'static CStr,
    /// What it is, in a line.
    pub description: &'static CStr,
}

/// A registered driver. Parents hold a reference.
pub struct DriverRegistration<D: Driver> {
    driver: Opaque<bindings::mdev_driver>,
    _driver: PhantomData<D>,
}

// SAFETY: The C structure belongs to the driver core, which locks it.
unsafe impl<D: Driver> Send for DriverRegistration<D> {}
// SAFETY: As above.
unsafe impl<D: Driver> Sync for DriverRegistration<D> {}

impl<D: Driver> DriverRegistration<D> {
    /// Registers the driver, whose code is of `module`.
    pub fn new(module: &'static ThisModule) -> Result<Arc<Self>> {
        let this = Arc::new(
            Self {
                driver: Opaque::zeroed(),
                _driver: PhantomData,
            },
            GFP_KERNEL,
        )?;
        let raw = this.raw();
        // SAFETY: The structure is ours until it is registered; an `Arc` does not move.
        to_result(unsafe {
            (*raw).device_api = D::DEVICE_API.as_char_ptr();
            (*raw).probe = Some(Self::probe);
            (*raw).remove = Some(Self::remove);
            (*raw).get_available = Some(Self::get_available);
            (*raw).show_description = Some(Self::show_description);
            (*raw).driver.name = D::NAME.as_char_ptr();
            (*raw).driver.owner = module.as_ptr();
            (*raw).driver.mod_name = D::NAME.as_char_ptr();
            bindings::mdev_register_driver(raw)
        })?;
        Ok(this)
    }

    pub(crate) fn raw(&self) -> *mut bindings::mdev_driver {
        self.driver.get()
    }

    /// # Safety
    ///
    /// Called by the mdev core for a new device of one of our parents.
    unsafe extern "C" fn probe(mdev: *mut bindings::mdev_device) -> i32 {
        from_result(|| {
            let mdev = NonNull::new(mdev).ok_or(ENODEV)?;
            // SAFETY: As required of us.
            let (ty, parent) = unsafe { type_of::<D>((*mdev.as_ptr()).type_) };
            // SAFETY: As required of us.
            let data = D::create(parent, ty, unsafe { Mdev::get(mdev) })?;
            // SAFETY: The device is being bound, and `remove` drops the registration.
            unsafe {
                let dev = &raw mut (*mdev.as_ptr()).dev;
                let registration = Registration::<D::Device>::emulated(dev, data)?;
                (*dev).driver_data = registration.into_raw();
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the mdev core for a device that was probed.
    unsafe extern "C" fn remove(mdev: *mut bindings::mdev_device) {
        // SAFETY: As required of us; stored in `probe`.
        drop(unsafe { Registration::<D::Device>::from_raw((*mdev).dev.driver_data) });
    }

    /// # Safety
    ///
    /// Called by the mdev core for a type of one of our parents.
    unsafe extern "C" fn get_available(ty: *mut bindings::mdev_type) -> u32 {
        // SAFETY: As required of us.
        let (ty, parent) = unsafe { type_of::<D>(ty) };
        D::available(parent, ty)
    }

    /// # Safety
    ///
    /// Called by the mdev core for a type of one of our parents, with a page to write to.
    unsafe extern "C" fn show_description(
        ty: *mut bindings::mdev_type,
        buf: *mut kernel::ffi::c_char,
    ) -> isize {
        // SAFETY: As required of us.
        let (ty, _) = unsafe { type_of::<D>(ty) };
        let text = D::TYPES.get(ty).map_or(c"", |info| info.description);
        // SAFETY: The function writes no more than the page.
        unsafe { bindings::sysfs_emit(buf, c"%s\n".as_char_ptr(), text.as_char_ptr()) as isize }
    }
}

impl<D: Driver> Drop for DriverRegistration<D> {
    fn drop(&mut self) {
        // SAFETY: Registered, unless it has no private data of the driver core. Parents hold a
        // reference, so none is left.
        unsafe {
            if !(*self.raw()).driver.p.is_null() {
                bindings::mdev_unregister_driver(self.raw());
            }
        }
    }
}

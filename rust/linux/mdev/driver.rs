// SPDX-License-Identifier: GPL-2.0

//! Registering a driver of parents.

use crate::c::{MdevDevice, MdevDriver};
use crate::parent::Type;
use crate::{Driver, Mdev};
use core::marker::PhantomData;
use kernel::error::{from_result, to_result};
use kernel::prelude::*;
use kernel::sync::Arc;
use linux::abi::{callback1, callback2, Object};
use linux::bindings;
use linux::sysfs::Page;
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
    driver: MdevDriver,
    _driver: PhantomData<fn(D)>,
}

impl<D: Driver> DriverRegistration<D> {
    /// Registers the driver, whose code is of `module`.
    pub fn new(module: &'static ThisModule) -> Result<Arc<Self>> {
        let driver = MdevDriver::new(bindings::mdev_driver {
            device_api: D::DEVICE_API.as_char_ptr(),
            probe: Some(callback1(Self::probe)),
            remove: Some(callback1(Self::remove)),
            get_available: Some(callback1(Self::get_available)),
            show_description: Some(callback2(Self::show_description)),
            driver: bindings::device_driver {
                name: D::NAME.as_char_ptr(),
                owner: module.as_ptr(),
                mod_name: D::NAME.as_char_ptr(),
                ..Default::default()
            },
            ..Default::default()
        });
        let _driver = PhantomData;
        let this = Arc::new(Self { driver, _driver }, GFP_KERNEL)?;
        // SAFETY: An `Arc` does not move, and `drop` unregisters.
        to_result(unsafe { bindings::mdev_register_driver(this.as_raw()) })?;
        Ok(this)
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::mdev_driver {
        self.driver.as_raw()
    }

    /// Called by the mdev core for a new device of one of our parents.
    extern "C" fn probe(mdev: &MdevDevice) -> i32 {
        from_result(|| {
            let dev = mdev.dev();
            let (ty, parent) = Self::ty(mdev).get();
            let data = D::create(parent, ty, Mdev::of(dev))?;
            // SAFETY: The device is being bound, and `remove` drops the registration.
            unsafe {
                let registration = Registration::<D::Device>::emulated(dev.as_raw(), data)?;
                (*dev.as_raw()).driver_data = registration.into_raw();
            }
            Ok(0)
        })
    }

    /// Called by the mdev core for a device that was probed.
    extern "C" fn remove(mdev: &MdevDevice) {
        let dev = mdev.dev().as_raw();
        // SAFETY: Stored in `probe`.
        drop(unsafe { Registration::<D::Device>::from_raw((*dev).driver_data) });
    }

    fn ty(mdev: &MdevDevice) -> &Type<D> {
        // SAFETY: The core offers us devices of our own types.
        unsafe { &*(*mdev.as_raw()).type_.cast() }
    }

    /// Called by the mdev core for a type of one of our parents.
    extern "C" fn get_available(ty: &Type<D>) -> u32 {
        let (index, parent) = ty.get();
        D::available(parent, index)
    }

    /// Called by the mdev core for a type of one of our parents.
    extern "C" fn show_description(ty: &Type<D>, page: Page<'_>) -> isize {
        from_result(|| {
            let (index, _) = ty.get();
            let text = D::TYPES.get(index).map_or(c"", |info| info.description);
            Ok(page.line(text.to_bytes())? as isize)
        })
    }
}

impl<D: Driver> Drop for DriverRegistration<D> {
    fn drop(&mut self) {
        // SAFETY: Registered, unless it has no private data of the driver core. Parents hold a
        // reference, so none is left.
        unsafe {
            if !(*self.as_raw()).driver.p.is_null() {
                bindings::mdev_unregister_driver(self.as_raw());
            }
        }
    }
}

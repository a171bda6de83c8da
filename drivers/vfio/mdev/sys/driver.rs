// SPDX-License-Identifier: GPL-2.0

//! Drivers of parents: `struct mdev_driver`.

use crate::sys::bus::BUS;
use kernel::error::to_result;
use kernel::ffi::{c_char, c_int, c_uint};
use kernel::prelude::*;
use kernel::types::Opaque;
use linux::bindings;
use linux::object::Object;

/// A driver that is registered, or being registered. Its fields do not change then, except for
/// those that the driver core writes.
#[repr(transparent)]
pub(super) struct Driver(Opaque<bindings::mdev_driver>);

// SAFETY: A transparent `Opaque`. References are made to drivers that C code passes to the
// functions of this module, and to drivers of parents that are registered.
unsafe impl Object<bindings::mdev_driver> for Driver {}

impl Driver {
    /// What kind of VFIO device comes of its devices, `vfio-pci` for instance.
    pub(super) fn device_api(&self) -> &CStr {
        // SAFETY: A field of a valid driver.
        let name = unsafe { (*self.as_raw()).device_api };
        // SAFETY: `register` insists on one, and it is a string as long as the driver is
        // registered.
        unsafe { CStr::from_char_ptr(name) }
    }

    /// How many devices a parent can have, when the driver does not count them itself.
    pub(super) fn max_instances(&self) -> c_uint {
        // SAFETY: A field of a valid driver.
        unsafe { (*self.as_raw()).max_instances }
    }

    /// Binds it to a device of its own.
    pub(super) fn probe(
        &self,
    ) -> Option<unsafe extern "C" fn(*mut bindings::mdev_device) -> c_int> {
        // SAFETY: A field of a valid driver.
        unsafe { (*self.as_raw()).probe }
    }

    /// Unbinds it from a device that it was bound to.
    pub(super) fn remove(&self) -> Option<unsafe extern "C" fn(*mut bindings::mdev_device)> {
        // SAFETY: A field of a valid driver.
        unsafe { (*self.as_raw()).remove }
    }

    /// How many more devices can be made of a type of its own.
    pub(super) fn get_available(
        &self,
    ) -> Option<unsafe extern "C" fn(*mut bindings::mdev_type) -> c_uint> {
        // SAFETY: A field of a valid driver.
        unsafe { (*self.as_raw()).get_available }
    }

    /// Writes the description of a type of its own into a page.
    pub(super) fn show_description(
        &self,
    ) -> Option<unsafe extern "C" fn(*mut bindings::mdev_type, *mut c_char) -> isize> {
        // SAFETY: A field of a valid driver.
        unsafe { (*self.as_raw()).show_description }
    }

    /// Its part that the driver core knows.
    pub(super) fn base(&self) -> *mut bindings::device_driver {
        // SAFETY: A field of a valid driver.
        unsafe { &raw mut (*self.as_raw()).driver }
    }
}

/// `mdev_register_driver()`.
pub(super) fn register(driver: &Driver) -> c_int {
    // SAFETY: A field of a valid driver.
    if unsafe { (*driver.as_raw()).device_api }.is_null() {
        return EINVAL.to_errno();
    }
    let base = driver.base();
    // SAFETY: The driver is the caller's until it is registered.
    unsafe { (*base).bus = BUS.as_ptr() };
    // SAFETY: The caller keeps the driver until `mdev_unregister_driver()`.
    unsafe { bindings::driver_register(base) }
}

/// `mdev_unregister_driver()`.
pub(super) fn unregister(driver: &Driver) {
    // SAFETY: C code unregisters what it has registered.
    unsafe { bindings::driver_unregister(driver.base()) };
}

/// Binds `driver` to `dev`, which belongs to it.
///
/// # Safety
///
/// The device is in sysfs, and stays there until this has returned.
pub(super) unsafe fn attach(driver: &Driver, dev: *mut bindings::device) -> Result {
    // SAFETY: As required of us. A parent's driver is registered as long as the parent is.
    to_result(unsafe { bindings::device_driver_attach(driver.base(), dev) })
}

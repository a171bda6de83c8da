// SPDX-License-Identifier: GPL-2.0

//! Devices that have a driver.
//!
//! C header: [`include/linux/device.h`](srctree/include/linux/device.h)

use crate::bindings;
use crate::object::Object;
use kernel::device::{Bound, Device};

/// Whether a device has a driver at this moment.
pub fn has_driver(dev: &Device) -> bool {
    // SAFETY: The device is valid; no reference is made.
    let driver = unsafe { &raw const (*dev.as_raw()).driver };
    // SAFETY: As above. C code changes the pointer as a whole, and it is only looked at.
    let driver = unsafe { driver.read_volatile() };
    !driver.is_null()
}

/// Calls `f` with the device, whose driver stays bound until this returns; `None` without a driver. Takes the
/// device's lock, so it may sleep.
pub fn with_driver<R>(dev: &Device, f: impl FnOnce(&Device<Bound>) -> R) -> Option<R> {
    // SAFETY: The device is valid.
    unsafe { bindings::siov_helper_device_lock(dev.as_raw()) };
    // SAFETY: The device is valid and locked.
    let driver = unsafe { (*dev.as_raw()).driver };
    // SAFETY: A driver is bound, and not unbound while the device is locked.
    let result = (!driver.is_null()).then(|| f(unsafe { dev.as_bound() }));
    // SAFETY: Locked above, by this thread.
    unsafe { bindings::siov_helper_device_unlock(dev.as_raw()) };
    result
}

// SPDX-License-Identifier: GPL-2.0

//! Devices that have a driver.
//!
//! C header: [`include/linux/device.h`](srctree/include/linux/device.h)

use crate::bindings;
use crate::object::Object;
use crate::pci::driver::Function;
use kernel::device::Device;

/// Whether a device has a driver at this moment.
pub fn has_driver(dev: &Device) -> bool {
    !driver_of(dev).is_null()
}

/// The driver of a device at this moment, to be compared with others.
pub(crate) fn driver_of(dev: &Device) -> *mut bindings::device_driver {
    // SAFETY: The device is valid; no reference is made.
    let driver = unsafe { &raw const (*dev.as_raw()).driver };
    // SAFETY: As above. C code changes the pointer as a whole, and it is only looked at.
    unsafe { driver.read_volatile() }
}

/// A device that has a driver, which stays bound for `'a`, because the device is locked.
///
/// `Device<Bound>` says something else. It says more to the kernel crate: that the driver is one of
/// this module, which is not unloaded before it is unbound. So what has a `drop` function can be
/// registered for the latter. And less: a driver may have it without the lock, as long as it is
/// bound, and the IOMMU of a device whose driver was bound before that came may go meanwhile.
#[derive(Clone, Copy)]
pub struct Driven<'a>(&'a Device);

impl<'a> Driven<'a> {
    /// The device.
    pub fn device(self) -> &'a Device {
        self.0
    }
}

impl<'a> From<&'a Function<'_>> for Driven<'a> {
    fn from(function: &'a Function<'_>) -> Self {
        Self(function.bound())
    }
}

impl AsRef<Device> for Driven<'_> {
    fn as_ref(&self) -> &Device {
        self.0
    }
}

/// Calls `f` with the device, whose driver, of whatever module, stays bound until this returns;
/// `None` without a driver. Takes the device's lock, so it may sleep.
pub fn with_driver<R>(dev: &Device, f: impl FnOnce(Driven<'_>) -> R) -> Option<R> {
    // SAFETY: The device is valid.
    unsafe { bindings::siov_helper_device_lock(dev.as_raw()) };
    // SAFETY: The device is valid and locked.
    let driver = unsafe { (*dev.as_raw()).driver };
    // A driver that is bound is not unbound while the device is locked.
    let result = (!driver.is_null()).then(|| f(Driven(dev)));
    // SAFETY: Locked above, by this thread.
    unsafe { bindings::siov_helper_device_unlock(dev.as_raw()) };
    result
}

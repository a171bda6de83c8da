// SPDX-License-Identifier: GPL-2.0

//! The bus that mediated devices are on, and the class `mdev_bus` whose links lead to parents.

use crate::sys::driver::Driver;
use crate::sys::Device;
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::error::to_result;
use kernel::ffi::c_int;
use kernel::prelude::*;
use linux::bindings;
use linux::callback::{Call, FromC};
use linux::module::{self, InUse, Kind};
use linux::object::Object;

/// The class `mdev_bus`, while the bus is registered.
static CLASS: AtomicPtr<bindings::class_compat> = AtomicPtr::new(core::ptr::null_mut());

/// The registered bus. Dropping it unregisters bus and class: no driver and no parent may be left.
pub(super) struct Bus {
    _in_use: InUse,
}

impl Bus {
    /// Registers the bus `mdev` and the class `mdev_bus`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and those of `bus_register()`.
    pub(super) fn register() -> Result<Self> {
        let _in_use = InUse::new(Kind::MdevBus);
        // SAFETY: `BUS` is a static of the module, and `drop` unregisters it.
        to_result(unsafe { bindings::bus_register(BUS.as_ptr()) })?;
        // SAFETY: The name is copied.
        let class = unsafe { bindings::class_compat_register(c"mdev_bus".as_char_ptr()) };
        if class.is_null() {
            // SAFETY: Registered above; nothing is on it yet.
            unsafe { bindings::bus_unregister(BUS.as_ptr()) };
            return Err(ENOMEM);
        }
        CLASS.store(class, Ordering::Release);
        Ok(Self { _in_use })
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let class = CLASS.swap(core::ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: Registered in `register`. The bus is part of the module, which is unloaded when
        // no module of a parent is left: they depend on this one.
        unsafe { bindings::class_compat_unregister(class) };
        // SAFETY: As above.
        unsafe { bindings::bus_unregister(BUS.as_ptr()) };
        // The last device may have been freed just now.
        module::wait_for_callers();
    }
}

/// The class that links lead to parents from; parents are registered only while it is.
pub(super) fn class() -> Option<NonNull<bindings::class_compat>> {
    NonNull::new(CLASS.load(Ordering::Acquire))
}

#[repr(transparent)]
pub(super) struct BusType(bindings::bus_type);

// SAFETY: Never written.
unsafe impl Sync for BusType {}

impl BusType {
    pub(super) fn as_ptr(&self) -> *const bindings::bus_type {
        &raw const self.0
    }
}

// Kernel code takes `as_char_ptr()`, which is not const.
#[allow(clippy::disallowed_methods)]
pub(super) static BUS: BusType = BusType(bindings::bus_type {
    name: c"mdev".as_ptr().cast(),
    match_: Some(match_callback),
    probe: Some(probe_callback),
    remove: Some(remove_callback),
    ..pin_init::zeroed()
});

linux::callbacks! {
    /// `bus_type::match`.
    ///
    /// # Safety
    ///
    /// For [`BUS`].
    unsafe fn match_callback(
        dev: *mut bindings::device => *mut bindings::device,
        driver: *const bindings::device_driver => *const bindings::device_driver,
    ) -> c_int = match_none;

    /// `bus_type::probe`.
    ///
    /// # Safety
    ///
    /// For [`BUS`]: the driver core passes a device of ours that it is binding to a driver.
    unsafe fn probe_callback(dev: *mut bindings::device => Bound<'_>) -> c_int = probe;

    /// `bus_type::remove`.
    ///
    /// # Safety
    ///
    /// For [`BUS`]: the driver core passes a device of ours that it is unbinding from its driver.
    unsafe fn remove_callback(dev: *mut bindings::device => Bound<'_>) = remove;
}

fn match_none(_: *mut bindings::device, _: *const bindings::device_driver) -> c_int {
    // Drivers are bound by device_driver_attach() alone: a device belongs to its parent's driver.
    0
}

/// A device that is being bound or unbound.
///
/// As a parameter of a callback it demands that the pointer leads to a [`Device`], whose driver is
/// a [`Driver`] that stays until the call ends.
#[derive(Clone, Copy)]
struct Bound<'call>(&'call Device);

impl<'call> FromC<'call, *mut bindings::device> for Bound<'call> {
    unsafe fn from_c(c: *mut bindings::device, _call: &'call Call) -> Self {
        // SAFETY: As required of us; the `struct device` comes first.
        Self(unsafe { &*c.cast() })
    }
}

impl<'call> Bound<'call> {
    fn driver(self) -> &'call Driver {
        let dev: *mut bindings::device = self.0.as_raw();
        // SAFETY: A field of a valid device, which does not change while it is being bound or
        // unbound.
        let driver = unsafe { (*dev).driver };
        // SAFETY: Drivers of our bus are the field `driver` of a `struct mdev_driver`.
        let driver = unsafe { driver.byte_sub(offset_of!(bindings::mdev_driver, driver)) };
        // SAFETY: It stays until the call ends.
        unsafe { &*driver.cast() }
    }
}

fn probe(mdev: Bound<'_>) -> c_int {
    match mdev.driver().probe() {
        // SAFETY: The device is being bound to this driver.
        Some(probe) => unsafe { probe(mdev.0.as_raw()) },
        None => 0,
    }
}

fn remove(mdev: Bound<'_>) {
    if let Some(remove) = mdev.driver().remove() {
        // SAFETY: The device is being unbound from this driver.
        unsafe { remove(mdev.0.as_raw()) };
    }
}

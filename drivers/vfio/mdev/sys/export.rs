// SPDX-License-Identifier: GPL-2.0

//! The functions that other modules call, by their names in C.
//!
//! Their parameters are references, and types that safe code cannot make: C callers pass what these
//! promise, as `include/linux/mdev.h` demands.

pub(crate) use crate::sys::c::Driver;
pub(crate) use crate::sys::parent::{Blank, Leaving, Types};

use crate::sys::parent::New;
use crate::sys::Core;
use crate::Mdev;
use kernel::device::Device;
use kernel::error::from_result;
use kernel::ffi::{c_int, c_uint};
use kernel::prelude::*;
use linux::abi::Object;
use linux::bindings;

#[no_mangle]
extern "C" fn mdev_register_parent(
    parent: Blank<'_>,
    dev: &Device,
    driver: &Driver,
    types: Types<'_>,
    count: c_uint,
) -> c_int {
    register_parent::<Mdev>(parent, dev, driver, types, count)
}

#[no_mangle]
extern "C" fn mdev_unregister_parent(parent: Leaving<'_>) {
    unregister_parent::<Mdev>(parent)
}

#[no_mangle]
extern "C" fn mdev_register_driver(driver: &Driver) -> c_int {
    register_driver(driver)
}

#[no_mangle]
extern "C" fn mdev_unregister_driver(driver: &Driver) {
    unregister_driver(driver)
}

/// Gives C functions, each of the form `NAME = FUNCTION`, that look up the mediated device behind a
/// `struct device` first: `FUNCTION` gets `Option<&Device>`.
macro_rules! export_device_functions {
    ($core:ty: $($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $function:path;)*) => {
        const _: () = {
            $(
                #[no_mangle]
                extern "C" fn $name(
                    dev: Option<&::kernel::device::Device>,
                    $($arg: $ty),*
                ) -> $ret {
                    $function(dev.and_then($crate::sys::Device::<$core>::from_dev), $($arg),*)
                }
            )*
        };
    };
}

/// `mdev_register_parent()`.
pub(crate) fn register_parent<T: Core>(
    parent: Blank<'_>,
    dev: &kernel::device::Device,
    driver: &Driver,
    types: Types<'_>,
    count: u32,
) -> i32 {
    from_result(|| {
        let core = T::slot().get().ok_or(ENODEV)?;
        core.register_parent(New::of(parent, dev, driver, types, count))?;
        Ok(0)
    })
}

/// `mdev_unregister_parent()`.
pub(crate) fn unregister_parent<T: Core>(parent: Leaving<'_>) {
    if let Some(core) = T::slot().get() {
        core.unregister_parent(parent);
    }
}

/// `mdev_register_driver()`.
pub(crate) fn register_driver(driver: &Driver) -> i32 {
    let driver = driver.as_raw();
    // SAFETY: The driver is the caller's until it is registered.
    unsafe {
        if (*driver).device_api.is_null() {
            return EINVAL.to_errno();
        }
        (*driver).driver.bus = crate::sys::bus::BUS.as_ptr();
        bindings::driver_register(&raw mut (*driver).driver)
    }
}

/// `mdev_unregister_driver()`.
pub(crate) fn unregister_driver(driver: &Driver) {
    // SAFETY: C code unregisters what it has registered.
    unsafe { bindings::driver_unregister(&raw mut (*driver.as_raw()).driver) };
}

pub(crate) use export_device_functions;

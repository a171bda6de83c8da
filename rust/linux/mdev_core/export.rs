// SPDX-License-Identifier: GPL-2.0

//! The functions that other modules call, for [`export!`](crate::export).

use crate::parent::{Leaving, New};
use crate::{Core, Device};
use kernel::error::from_result;
use kernel::prelude::*;
use linux::bindings;

/// Defines the C functions of `include/linux/mdev.h` for the core of this type.
///
/// `EXPORT_SYMBOL` is left to C.
#[macro_export]
macro_rules! export {
    ($core:ty) => {
        const _: () = {
            use ::kernel::ffi::{c_int, c_uint};
            use ::linux::bindings;
            use $crate::export;

            /// # Safety
            ///
            /// As the C function demands.
            #[no_mangle]
            unsafe extern "C" fn mdev_register_parent(
                parent: *mut bindings::mdev_parent,
                dev: *mut bindings::device,
                driver: *mut bindings::mdev_driver,
                types: *mut *mut bindings::mdev_type,
                count: c_uint,
            ) -> c_int {
                // SAFETY: As required of us.
                unsafe { export::register_parent::<$core>(parent, dev, driver, types, count) }
            }

            /// # Safety
            ///
            /// As the C function demands.
            #[no_mangle]
            unsafe extern "C" fn mdev_unregister_parent(parent: *mut bindings::mdev_parent) {
                // SAFETY: As required of us.
                unsafe { export::unregister_parent::<$core>(parent) }
            }

            /// # Safety
            ///
            /// As the C function demands.
            #[no_mangle]
            unsafe extern "C" fn mdev_register_driver(driver: *mut bindings::mdev_driver) -> c_int {
                // SAFETY: As required of us.
                unsafe { export::register_driver(driver) }
            }

            /// # Safety
            ///
            /// As the C function demands.
            #[no_mangle]
            unsafe extern "C" fn mdev_unregister_driver(driver: *mut bindings::mdev_driver) {
                // SAFETY: As required of us.
                unsafe { export::unregister_driver(driver) }
            }
        };
    };
}

/// Gives C functions, each of the form `NAME = FUNCTION`, that look up the mediated device behind a
/// `struct device` first: `FUNCTION` gets `Option<&Device>`.
#[macro_export]
macro_rules! export_device_functions {
    ($core:ty: $($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $function:path;)*) => {
        const _: () = {
            $(
                /// # Safety
                ///
                /// `dev` is null or a valid device, as C callers know to pass.
                #[no_mangle]
                unsafe extern "C" fn $name(
                    dev: *mut ::linux::bindings::device,
                    $($arg: $ty),*
                ) -> $ret {
                    // SAFETY: As required of us.
                    $function(unsafe { $crate::export::device::<$core>(dev) }, $($arg),*)
                }
            )*
        };
    };
}

/// # Safety
///
/// As `mdev_register_parent()` demands.
pub unsafe fn register_parent<T: Core>(
    parent: *mut bindings::mdev_parent,
    dev: *mut bindings::device,
    driver: *mut bindings::mdev_driver,
    types: *mut *mut bindings::mdev_type,
    count: u32,
) -> i32 {
    from_result(|| {
        let core = T::slot().get().ok_or(ENODEV)?;
        // SAFETY: As required of us.
        core.register_parent(unsafe { New::of(parent, dev, driver, types, count) })?;
        Ok(0)
    })
}

/// # Safety
///
/// As `mdev_unregister_parent()` demands.
pub unsafe fn unregister_parent<T: Core>(parent: *mut bindings::mdev_parent) {
    if let Some(core) = T::slot().get() {
        // SAFETY: As required of us.
        core.unregister_parent(unsafe { Leaving::of(parent) });
    }
}

/// # Safety
///
/// As `mdev_register_driver()` demands.
pub unsafe fn register_driver(driver: *mut bindings::mdev_driver) -> i32 {
    // SAFETY: The driver is the caller's until it is registered.
    unsafe {
        if (*driver).device_api.is_null() {
            return EINVAL.to_errno();
        }
        (*driver).driver.bus = crate::bus::BUS.as_ptr();
        bindings::driver_register(&raw mut (*driver).driver)
    }
}

/// # Safety
///
/// As `mdev_unregister_driver()` demands.
pub unsafe fn unregister_driver(driver: *mut bindings::mdev_driver) {
    // SAFETY: As required of us.
    unsafe { bindings::driver_unregister(&raw mut (*driver).driver) };
}

/// # Safety
///
/// `dev` is null or valid for `'a`.
pub unsafe fn device<'a, T: Core>(dev: *mut bindings::device) -> Option<&'a Device<T>> {
    // SAFETY: As required of us.
    unsafe { Device::from_dev(dev) }
}

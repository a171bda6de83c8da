// SPDX-License-Identifier: GPL-2.0

//! Arguments of functions that other modules call.

use crate::callback::{Call, FromC};
use crate::object::Object;
use core::ffi::c_void;
use kernel::device::{Bound, Device};
use kernel::prelude::*;

/// A pointer that a C caller passed, checked for NULL and error pointers.
///
/// Everything else is a valid object until the call ends: such is the contract of the C function.
pub struct Argument<'call, T>(Option<&'call T>);

// include/linux/err.h
const MAX_ERRNO: usize = 4095;

/// Whether a pointer is neither NULL nor an error pointer.
#[inline(always)]
pub(crate) fn is_object<C>(c: *const C) -> bool {
    // In one comparison: NULL becomes the largest number.
    (c as usize).wrapping_sub(1) < usize::MAX - MAX_ERRNO
}

impl<'call, C, T: Object<C>> FromC<'call, *mut C> for Argument<'call, T> {
    unsafe fn from_c(c: *mut C, _call: &'call Call) -> Self {
        if !is_object(c) {
            return Self(None);
        }
        // SAFETY: As required of us, and an object is at the address of its structure.
        Self(Some(unsafe { &*c.cast() }))
    }
}

impl<'call, T> Argument<'call, T> {
    /// The object.
    ///
    /// # Errors
    ///
    /// `EINVAL` for NULL and for error pointers.
    pub fn get(&self) -> Result<&'call T> {
        self.0.ok_or(EINVAL)
    }
}

/// A device that a C caller passed: as [`Argument`], and if it has a driver, the driver stays bound
/// until the call ends.
pub struct DeviceArgument<'call>(Argument<'call, Device>);

impl<'call> FromC<'call, *mut crate::bindings::device> for DeviceArgument<'call> {
    unsafe fn from_c(c: *mut crate::bindings::device, call: &'call Call) -> Self {
        // SAFETY: As required of us.
        Self(unsafe { Argument::from_c(c, call) })
    }
}

impl<'call> DeviceArgument<'call> {
    /// The device.
    ///
    /// # Errors
    ///
    /// `EINVAL` for NULL and for error pointers.
    pub fn get(&self) -> Result<&'call Device> {
        self.0.get()
    }

    /// The device, with its driver.
    ///
    /// # Errors
    ///
    /// `EINVAL` as for [`Self::get`], `ENODEV` without a driver.
    pub fn bound(&self) -> Result<&'call Device<Bound>> {
        let dev = self.get()?;
        if !crate::device::has_driver(dev) {
            return Err(ENODEV);
        }
        // SAFETY: A driver is bound, and stays so until the call ends, by what is true of the type.
        Ok(unsafe { dev.as_bound() })
    }
}

/// A pointer that means something to those only who passed it, and to whom it is passed back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cookie(*mut c_void);

// SAFETY: The pointer is not followed.
unsafe impl Send for Cookie {}
// SAFETY: As above.
unsafe impl Sync for Cookie {}

impl Cookie {
    /// To pass it back.
    pub fn as_ptr(self) -> *mut c_void {
        self.0
    }
}

impl FromC<'_, *mut c_void> for Cookie {
    unsafe fn from_c(c: *mut c_void, _call: &Call) -> Self {
        Self(c)
    }
}

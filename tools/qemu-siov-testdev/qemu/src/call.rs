// SPDX-License-Identifier: GPL-2.0

//! Functions that QEMU calls.
//!
//! QEMU calls a *trampoline*: an `unsafe extern "C" fn` with the types of the C prototype. It
//! borrows what QEMU passed from a [`Call`] on its stack and calls a safe function. So that can
//! take a reference of any lifetime, and cannot take a `&'static` one: nothing that QEMU lent for a
//! call can be kept.

use std::ffi::{c_char, c_void, CStr};
use std::marker::PhantomData;

use crate::ffi::{Errp, QemuError};

/// One call of QEMU. What it brought is borrowed from this.
pub(crate) struct Call(PhantomData<*mut ()>);

impl Call {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }

    /// An object that QEMU passed.
    ///
    /// # Safety
    ///
    /// QEMU passed it to the function that this is a call of: it is a `T`, and stays one until the
    /// call ends.
    pub(crate) unsafe fn lend<T>(&self, object: *mut T) -> &T {
        // SAFETY: as required of the caller; the result is borrowed from the call.
        unsafe { &*object }
    }

    /// What a pointer of type `void *` leads to.
    ///
    /// # Safety
    ///
    /// QEMU passed it to the function that this is a call of, and it was made of a pointer to a `T`
    /// that exists until the call ends.
    pub(crate) unsafe fn lend_opaque<T>(&self, opaque: *mut c_void) -> &T {
        // SAFETY: as required of the caller; the result is borrowed from the call.
        unsafe { &*opaque.cast() }
    }

    /// A C string that QEMU passed.
    ///
    /// # Safety
    ///
    /// QEMU passed it to the function that this is a call of, and it is a C string until the call
    /// ends.
    pub(crate) unsafe fn lend_text(&self, text: *const c_char) -> &CStr {
        // SAFETY: as required of the caller; the result is borrowed from the call.
        unsafe { CStr::from_ptr(text) }
    }

    /// A place for an error that QEMU passed, or null.
    ///
    /// # Safety
    ///
    /// QEMU passed it to the function that this is a call of.
    pub(crate) unsafe fn lend_errp(&self, errp: *mut *mut QemuError) -> Errp<'_> {
        // SAFETY: as required of the caller; the result is borrowed from the call.
        unsafe { Errp::from_raw(errp) }
    }
}

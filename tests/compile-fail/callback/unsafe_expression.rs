// SPDX-License-Identifier: GPL-2.0

//! why: What stands behind the `=` of a trampoline is safe code, whatever lints the caller allows.
//! against: linux
//! error: E0133

#![forbid(unsafe_code)]
#![allow(unsafe_op_in_unsafe_fn)]

use linux::bindings;

fn put(_dev: *mut bindings::device) {}

linux::callbacks! {
    /// A function of a device.
    ///
    /// # Safety
    ///
    /// The device is valid.
    pub unsafe fn put_callback(dev: *mut bindings::device => *mut bindings::device)
        // misuse {
        = ({ (*dev).driver = core::ptr::null_mut(); put });
        // } else {
        = ({ let _ = dev; put });
        // }
}

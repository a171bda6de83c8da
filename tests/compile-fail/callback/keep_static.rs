// SPDX-License-Identifier: GPL-2.0

//! why: What C lends for a call ends with the call, so a callback cannot take a `'static`
//!     reference.
//! against: linux
//! error: E0308 one type is more general than the other

#![forbid(unsafe_code)]

use kernel::device::Device;
use linux::bindings;

linux::callbacks! {
    /// `device_driver::probe`.
    ///
    /// # Safety
    ///
    /// For that pointer.
    pub unsafe fn probe_callback(dev: *mut bindings::device => &Device) -> i32 = probe;
}

// misuse {
fn probe(_dev: &'static Device) -> i32 {
    0
}
// } else {
fn probe(_dev: &Device) -> i32 {
    0
}
// }

// SPDX-License-Identifier: GPL-2.0

//! why: A trampoline calls safe functions: what an unsafe one demands, the macro cannot argue.
//! against: linux
//! error: E0308

#![forbid(unsafe_code)]

use linux::bindings;

// misuse {
use bindings::put_device as put;
// } else {
fn put(_dev: *mut bindings::device) {}
// }

linux::callbacks! {
    /// A function of a device.
    ///
    /// # Safety
    ///
    /// The device is valid.
    pub unsafe fn put_callback(dev: *mut bindings::device => *mut bindings::device) = put;
}

// SPDX-License-Identifier: GPL-2.0

//! why: A trampoline does not pass for a safe function.
//! against: linux
//! error: E0308

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

fn probe(_dev: &Device) -> i32 {
    0
}

// misuse {
/// A pointer that safe code can call.
pub const PROBE: extern "C" fn(*mut bindings::device) -> i32 = probe_callback;
// } else {
/// A pointer that unsafe code can call.
pub const PROBE: unsafe extern "C" fn(*mut bindings::device) -> i32 = probe_callback;
// }

// SPDX-License-Identifier: GPL-2.0

//! why: A trampoline believes what C code passes, so safe code cannot call it.
//! against: linux
//! error: E0133

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
/// Passes NULL.
pub fn call() -> i32 {
    probe_callback(core::ptr::null_mut())
}
// }

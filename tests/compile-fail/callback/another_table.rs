// SPDX-License-Identifier: GPL-2.0

//! why: A trampoline fits only where its C type does.
//! against: linux
//! error: E0308

#![forbid(unsafe_code)]

use linux::bindings;

// misuse {
type C = bindings::device_driver;
// } else {
type C = bindings::device;
// }

linux::callbacks! {
    /// `device_driver::probe`.
    ///
    /// # Safety
    ///
    /// For that pointer.
    pub unsafe fn probe_callback(_dev: *mut C => *mut C) -> i32 = probe;
}

fn probe(_dev: *mut C) -> i32 {
    0
}

/// A table.
pub fn table() -> bindings::device_driver {
    bindings::device_driver {
        probe: Some(probe_callback),
        ..Default::default()
    }
}

// SPDX-License-Identifier: GPL-2.0

//! why: A pointer to one C structure is no pointer to another.
//! against: linux
//! error: E0277 FromC<

#![forbid(unsafe_code)]

use kernel::device::Device;
use linux::bindings;

// misuse {
type Argument = linux::pci::Device;
// } else {
type Argument = Device;
// }

linux::callbacks! {
    /// `device_driver::probe`.
    ///
    /// # Safety
    ///
    /// For that pointer.
    pub unsafe fn probe_callback(dev: *mut bindings::device => &Argument) -> i32 = probe;
}

fn probe(_dev: &Argument) -> i32 {
    0
}

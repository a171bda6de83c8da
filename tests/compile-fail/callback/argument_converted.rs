// SPDX-License-Identifier: GPL-2.0

//! why: Converting an argument believes that C code passed it.
//! against: linux
//! error: E0133

#![forbid(unsafe_code)]

use kernel::device::Device;
use linux::bindings;
use linux::callback::{Call, FromC};

/// Follows any pointer.
pub fn forge(dev: *mut bindings::device) {
    let call = Call::new();
    // misuse {
    let _dev = <&Device>::from_c(dev, &call);
    // }
    let (_, _) = (dev, call);
}

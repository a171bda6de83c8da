// SPDX-License-Identifier: GPL-2.0

//! why: C code may write to a structure at any time, so reading a field is unsafe.
//! against: linux
//! error: E0133

#![forbid(unsafe_code)]

use kernel::device::Device;
use linux::object::Object;

/// Whether the device has a driver.
pub fn is_bound(dev: &Device) -> bool {
    let raw = dev.as_raw();
    // misuse {
    let driver = (*raw).driver;
    // } else {
    let driver = raw;
    // }
    !driver.is_null()
}

// SPDX-License-Identifier: GPL-2.0

//! why: A device exists as long as there is a reference to it.
//! against: linux
//! error: E0505

#![forbid(unsafe_code)]

use kernel::sync::aref::ARef;
use linux::numa::Node;
use linux::pci::{Device, DeviceExt};

/// Asks a device.
pub fn node(dev: ARef<Device>) -> Node {
    let device: &Device = &dev;
    // misuse {
    drop(dev);
    // }
    device.node()
}

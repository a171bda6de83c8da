// SPDX-License-Identifier: GPL-2.0

//! why: A VFIO device is registered for a device that has a driver, and as long as that is bound.
//! against: linux linux_vfio
//! error: E0308

#![forbid(unsafe_code)]

use kernel::device::{Bound, Device as Parent};
use kernel::prelude::*;
use linux_vfio::device::{register_emulated, Device};

/// Registers a device.
pub fn register<T: Device>(
    bound: &Parent<Bound>,
    device: &Parent,
    data: impl PinInit<T, Error>,
) -> Result {
    let (_, _) = (bound, device);
    // misuse {
    let registered = register_emulated(device, data);
    // } else {
    let registered = register_emulated(bound, data);
    // }
    registered
}

// SPDX-License-Identifier: GPL-2.0

//! why: A device is registered while its driver is bound, and unregistered when that is unbound.
//! against: linux linux_vfio
//! error: E0308

#![forbid(unsafe_code)]

use kernel::device::{Bound, Device as Parent};
use kernel::prelude::*;
use linux_vfio::device::{register_emulated, Device};

/// Registers a device.
pub fn register<T: Device>(
    bound: &Parent<Bound>,
    parent: &Parent,
    data: impl PinInit<T, Error>,
) -> Result {
    let (_, _) = (bound, parent);
    // misuse {
    register_emulated(parent, data)
    // } else {
    register_emulated(bound, data)
    // }
}

// SPDX-License-Identifier: GPL-2.0

//! why: A device is made while its parent is kept from being unregistered.
//! against: drivers/vfio/mdev/mdev.rs
//! error: E0515

#![forbid(unsafe_code)]

use crate::sys::{Type, Uuid};
use kernel::prelude::*;

/// Makes a device.
pub(crate) fn make(ty: &Type, uuid: Uuid) -> Result<bool> {
    // misuse {
    let make = || {
        let held = ty.hold().ok_or(ENODEV)?;
        held.new_device(uuid)
    };
    let device = make()?;
    // } else {
    let held = ty.hold().ok_or(ENODEV)?;
    let device = held.new_device(uuid)?;
    // }
    device.add().map(|_| true)
}

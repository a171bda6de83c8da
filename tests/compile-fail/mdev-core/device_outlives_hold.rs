// SPDX-License-Identifier: GPL-2.0

//! why: A device is made while its parent is kept from being unregistered.
//! against: drivers/vfio/mdev/mdev.rs
//! error: E0597 `held` does not live long enough

#![forbid(unsafe_code)]

use crate::sys::{Type, Uuid};
use kernel::prelude::*;

/// Makes a device.
pub(crate) fn make(ty: &Type, uuid: Uuid) -> Result {
    // misuse {
    let mdev = {
        let held = ty.hold().ok_or(ENODEV)?;
        held.new_device(uuid)?
    };
    // } else {
    let held = ty.hold().ok_or(ENODEV)?;
    let mdev = held.new_device(uuid)?;
    // }
    let mdev = mdev.add()?;
    mdev.keep()
}

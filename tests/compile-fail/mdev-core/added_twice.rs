// SPDX-License-Identifier: GPL-2.0

//! why: A device is put into sysfs once.
//! against: drivers/vfio/mdev/mdev.rs
//! error: E0382

#![forbid(unsafe_code)]

use crate::sys::{Type, Uuid};
use kernel::prelude::*;

/// Makes a device.
pub(crate) fn make(ty: &Type, uuid: Uuid) -> Result {
    let held = ty.hold().ok_or(ENODEV)?;
    let device = held.new_device(uuid)?;
    drop(device.add()?);
    // misuse {
    drop(device.add()?);
    // }
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0

//! why: A device is removed by the file that is written, while its parent is held.
//! against: drivers/vfio/mdev/mdev.rs
//! error: E0624

#![forbid(unsafe_code)]

use crate::sys::{Device, Remover};
use kernel::prelude::*;

/// Removes a device.
pub(crate) fn remove(mdev: &Device, remover: Remover<'_>) -> Result {
    // misuse {
    mdev.remove();
    // }
    let _ = mdev.is_active();
    remover.hold().ok_or(ENODEV)?.remove();
    Ok(())
}

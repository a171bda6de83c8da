// SPDX-License-Identifier: GPL-2.0

//! why: A file removes its device once: only one thread may leave the file before it returns.
//! against: drivers/vfio/mdev/mdev.rs
//! error: E0382

#![forbid(unsafe_code)]

use crate::sys::Remover;
use kernel::prelude::*;

/// Removes a device.
pub(crate) fn remove(remover: Remover<'_>) -> Result {
    let remover = remover.hold().ok_or(ENODEV)?;
    remover.remove()?;
    // misuse {
    remover.remove()?;
    // }
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0

//! why: A device is removed with its parent kept from being unregistered.
//! against: drivers/vfio/mdev/mdev.rs
//! error: E0624

#![forbid(unsafe_code)]

use crate::sys::{Device, Remover};

/// Removes a device.
pub(crate) fn remove(mdev: &Device, remover: Remover<'_>) {
    let _ = mdev;
    // misuse {
    mdev.remove();
    let _ = remover;
    // } else {
    if let Some(remover) = remover.hold() {
        let _ = remover.remove();
    }
    // }
}

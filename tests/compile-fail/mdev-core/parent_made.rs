// SPDX-License-Identifier: GPL-2.0

//! why: A parent is what `mdev_register_parent()` was given.
//! against: drivers/vfio/mdev/mdev.rs
//! error: E0423

#![forbid(unsafe_code)]

use crate::sys::Parent;
use kernel::types::Opaque;

/// Logs a parent.
pub(crate) fn show(parent: &Parent) {
    // misuse {
    let parent = &Parent(Opaque::uninit());
    // } else {
    let _ = Opaque::<u8>::uninit();
    // }
    kernel::prelude::dev_info!(parent.dev(), "\n");
}

// SPDX-License-Identifier: GPL-2.0

//! why: That a registration ends before its device is unbound is a promise that safe code cannot
//!     make.
//! against: linux linux_vfio
//! error: E0133

#![forbid(unsafe_code)]

use kernel::device::Device as Parent;
use kernel::prelude::*;
use linux::object::Object;
use linux_vfio::device::{Device, Registration};

/// Registers a device for ever.
pub fn register<T: Device>(parent: &Parent, data: impl PinInit<T, Error>) -> Result {
    let dev = parent.as_raw();
    // misuse {
    core::mem::forget(Registration::emulated(dev, data)?);
    // } else {
    let (_, _) = (dev, &data);
    // }
    Ok(())
}

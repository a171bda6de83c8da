// SPDX-License-Identifier: GPL-2.0

//! why: Operators create devices in several threads at once, so data of a parent has to be `Sync`.
//! against: linux linux_vfio linux_mdev
//! error: E0277 cannot be shared between threads safely

#![forbid(unsafe_code)]

use kernel::prelude::*;
use kernel::sync::Arc;
use linux_mdev::{Driver, Mdev, TypeInfo};
use linux_vfio::device::Device;

/// Devices that can be made.
pub trait Make: Device {
    /// Makes one.
    fn make() -> impl PinInit<Self, Error>;
}

// misuse {
type Parent = core::cell::Cell<u32>;
// } else {
type Parent = u32;
// }

/// A driver.
pub struct Mine<T>(T);

impl<T: Make> Driver for Mine<T> {
    const NAME: &'static CStr = c"mine";
    type Type = ();
    const TYPES: &'static [TypeInfo<()>] = &[];
    type Parent = Parent;
    type Device = T;

    fn available(_parent: &Arc<Parent>, _ty: ()) -> u32 {
        1
    }

    fn create(_parent: &Arc<Parent>, _ty: (), _mdev: &Mdev) -> Result<impl PinInit<T, Error>> {
        Ok(T::make())
    }
}

// SPDX-License-Identifier: GPL-2.0

//! why: A mediated device is lent to the driver while it is being bound.
//! against: linux linux_vfio linux_mdev
//! error: E0521
//! error: E0277 cannot be shared between threads safely

#![forbid(unsafe_code)]

use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};
use linux_mdev::{Driver, Mdev, TypeInfo};
use linux_vfio::device::Device;

/// Devices that can be made.
pub trait Make: Device {
    /// Makes one.
    fn make() -> impl PinInit<Self, Error>;
}

/// A parent.
#[pin_data]
pub struct Parent<T: Make> {
    #[pin]
    // misuse {
    last: Mutex<Option<&'static Mdev>>,
    // } else {
    last: Mutex<usize>,
    // }
    _device: core::marker::PhantomData<T>,
}

/// A driver.
pub struct Mine<T>(T);

impl<T: Make> Driver for Mine<T> {
    const NAME: &'static CStr = c"mine";
    type Type = ();
    const TYPES: &'static [TypeInfo<()>] = &[];
    type Parent = Parent<T>;
    type Device = T;

    fn available(_parent: &Arc<Parent<T>>, _ty: ()) -> u32 {
        1
    }

    fn create(
        parent: &Arc<Parent<T>>,
        _ty: (),
        mdev: &Mdev,
    ) -> Result<impl PinInit<T, Error>> {
        // misuse {
        *parent.last.lock() = Some(mdev);
        // } else {
        *parent.last.lock() = core::mem::size_of_val(mdev);
        // }
        Ok(T::make())
    }
}

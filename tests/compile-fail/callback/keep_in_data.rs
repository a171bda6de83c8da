// SPDX-License-Identifier: GPL-2.0

//! why: A callback cannot store in its data what C lent for the call; a counted reference it can.
//! against: linux
//! error: E0521

#![forbid(unsafe_code)]

use core::ffi::c_void;
use kernel::device::Device;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Mutex;
use linux::bindings;
use linux::callback::{Data, Registered};

/// What is registered.
pub struct Listener;

/// Its data.
#[pin_data]
pub struct Kept {
    // misuse {
    #[pin]
    dev: Mutex<Option<&'static Device>>,
    // } else {
    #[pin]
    dev: Mutex<Option<ARef<Device>>>,
    // }
}

impl Registered for Listener {
    type Data = Kept;
}

linux::callbacks! {
    /// A function of a device.
    ///
    /// # Safety
    ///
    /// The device is valid, and `data` that of a registration.
    pub unsafe fn event_callback(
        dev: *mut bindings::device => &Device,
        data: *mut c_void => Data<'_, Listener>,
    ) = event;
}

fn event(dev: &Device, data: Data<'_, Listener>) {
    // misuse {
    *data.dev.lock() = Some(dev);
    // } else {
    *data.dev.lock() = Some(dev.into());
    // }
}

// SPDX-License-Identifier: GPL-2.0

//! why: The data of a registration is lent to its callbacks: the registration may end.
//! against: linux
//! error: E0308 one type is more general than the other

#![forbid(unsafe_code)]

use core::ffi::c_void;
use linux::callback::{Data, Registered};

/// What is registered.
pub struct Listener;

impl Registered for Listener {
    type Data = u64;
}

linux::callbacks! {
    /// A function with data.
    ///
    /// # Safety
    ///
    /// `data` is that of a `Listener`.
    pub unsafe fn event_callback(data: *mut c_void => Data<'_, Listener>) = event;
}

// misuse {
fn event(_data: Data<'static, Listener>) {}
// } else {
fn event(_data: Data<'_, Listener>) {}
// }

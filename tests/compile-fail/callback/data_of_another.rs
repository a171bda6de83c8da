// SPDX-License-Identifier: GPL-2.0

//! why: The `void *` of one registration is not the data of another.
//! against: linux
//! error: E0308

#![forbid(unsafe_code)]

use core::ffi::c_void;
use linux::callback::{Data, Registered};

/// What is registered.
pub struct Listener;

impl Registered for Listener {
    type Data = u64;
}

/// Another one.
pub struct Other;

impl Registered for Other {
    type Data = [u64; 512];
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
fn event(_data: Data<'_, Other>) {}
// } else {
fn event(_data: Data<'_, Listener>) {}
// }

// SPDX-License-Identifier: GPL-2.0

//! why: What C lends is no counted reference that the callback owns.
//! against: linux
//! error: E0277

#![forbid(unsafe_code)]

use core::ffi::c_void;
use kernel::sync::Arc;
use linux::callback::{Data, Registered};

/// What is registered.
pub struct Listener;

impl Registered for Listener {
    type Data = u64;
}

// misuse {
type Argument<'a> = Arc<u64>;
// } else {
type Argument<'a> = Data<'a, Listener>;
// }

linux::callbacks! {
    /// A function with data.
    ///
    /// # Safety
    ///
    /// `data` is that of a `Listener`.
    pub unsafe fn event_callback(data: *mut c_void => Argument<'_>) = event;
}

fn event(_data: Argument<'_>) {}

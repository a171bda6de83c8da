// SPDX-License-Identifier: GPL-2.0

//! why: What data leads to is borrowed from the data.
//! against: linux
//! error: E0621

#![forbid(unsafe_code)]

use core::ffi::c_void;
use linux::callback::{Data, Registered};

/// What is registered.
pub struct Listener;

impl Registered for Listener {
    type Data = u64;
}

// misuse {
/// Lets the data out.
pub fn leak<'a>(data: &Data<'_, Listener>) -> &'a u64 {
    data
}
// } else {
/// Reads the data.
pub fn read(data: &Data<'_, Listener>) -> u64 {
    **data
}
// }

// SPDX-License-Identifier: GPL-2.0

//! why: Data of a registration comes from C code only.
//! against: linux
//! error: E0423

#![forbid(unsafe_code)]

use core::ffi::c_void;
use linux::callback::{Data, Registered};

/// What is registered.
pub struct Listener;

impl Registered for Listener {
    type Data = u64;
}

/// Makes one.
pub fn forge(data: &u64) -> u64 {
    // misuse {
    let data: Data<'_, Listener> = Data(data);
    // }
    *data
}

// SPDX-License-Identifier: GPL-2.0

//! why: An imported function is a C function, which safe code cannot call.
//! against: linux
//! error: E0133

#![forbid(unsafe_code)]

use kernel::ffi::c_int;
use linux::bindings;

linux::imports! {
    /// `mdev_get_domain_type()`.
    pub struct GetDomainType = fn mdev_get_domain_type(*mut bindings::device) -> c_int;
}

/// Calls it.
pub fn call(get: &GetDomainType, dev: *mut bindings::device) -> c_int {
    // misuse {
    let result = get.function()(dev);
    // } else {
    let (_, _, result) = (get.function(), dev, 0);
    // }
    result
}

// SPDX-License-Identifier: GPL-2.0

//! why: An imported function has the type of its C prototype.
//! against: linux
//! error: E0308

#![forbid(unsafe_code)]

use kernel::ffi::c_int;
use linux::bindings;

// misuse {
linux::imports! {
    /// `mdev_get_domain_type()`, which takes a device.
    pub struct GetDomainType = fn mdev_get_domain_type(usize) -> c_int;
}
// } else {
linux::imports! {
    /// `mdev_get_domain_type()`.
    pub struct GetDomainType = fn mdev_get_domain_type(*mut bindings::device) -> c_int;
}
// }

// SPDX-License-Identifier: GPL-2.0

//! why: C code follows what mdev_parent_device() returns: the core does not choose that.
//! against: drivers/vfio/mdev/mdev.rs
//! error: E0407

#![forbid(unsafe_code)]

use crate::sys::MaybeMediated;
use kernel::ffi::c_int;
use linux::bindings;

struct Other;

impl crate::sys::DomainTypes for Other {
    fn set_domain_type(_: MaybeMediated<'_>, _: bindings::mdev_domain_type) -> c_int {
        0
    }

    fn get_domain_type(_: MaybeMediated<'_>) -> c_int {
        0
    }

    // misuse {
    fn parent_device(_: MaybeMediated<'_>) -> *mut bindings::device {
        core::ptr::without_provenance_mut(8)
    }
    // }
}

// SPDX-License-Identifier: GPL-2.0

//! why: A device that C code passes is lent for the call.
//! against: drivers/vfio/mdev/mdev.rs
//! error: E0621

#![forbid(unsafe_code)]

use crate::sys::{Device, MaybeMediated};

// misuse {
/// Lets it out.
pub(crate) fn keep<'a>(dev: MaybeMediated<'_>) -> Option<&'a Device> {
    dev.get()
}
// } else {
/// Looks at it.
pub(crate) fn look<'a>(dev: MaybeMediated<'a>) -> Option<&'a Device> {
    dev.get()
}
// }

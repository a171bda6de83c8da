// SPDX-License-Identifier: GPL-2.0

//! why: A mediated device has no driver any more when it is removed: it is lent to the function
//!     that makes it.
//! against: linux linux_mdev
//! error: E0621

#![forbid(unsafe_code)]

use kernel::device::{Bound, Device};
use linux_mdev::Mdev;

// misuse {
/// Lets it out.
pub fn keep<'a>(mdev: &Mdev) -> &'a Device<Bound> {
    mdev.dev()
}
// } else {
/// Looks at it.
pub fn look<'a>(mdev: &'a Mdev) -> &'a Device<Bound> {
    mdev.dev()
}
// }

// SPDX-License-Identifier: GPL-2.0

//! why: The buffer of a driver is lent for the call.
//! against: drivers/vfio/type1/type1.rs
//! error: E0621

#![forbid(unsafe_code)]

use crate::sys::access::Buffer;

// misuse {
/// Lets it out.
pub(crate) fn keep<'a>(buffer: Buffer<'_>) -> Buffer<'a> {
    buffer
}
// } else {
/// Passes it on.
pub(crate) fn pass<'a>(buffer: Buffer<'a>) -> Buffer<'a> {
    buffer
}
// }

// SPDX-License-Identifier: GPL-2.0

//! why: The data of a write is on the stack of the caller.
//! against: virt/kvm/coalesced_io.rs
//! error: lifetime may not live long enough

#![forbid(unsafe_code)]

use crate::sys::GuestWrite;

// misuse {
pub fn keep(write: GuestWrite<'_>) -> GuestWrite<'static> {
    write
}
// } else {
pub fn pass(write: GuestWrite<'_>) -> GuestWrite<'_> {
    write
}
// }

// SPDX-License-Identifier: GPL-2.0

//! why: The guest may change the data between two reads.
//! against: virt/kvm/coalesced_io.rs
//! error: E0382

#![forbid(unsafe_code)]

use crate::sys::GuestWrite;

pub fn read(write: GuestWrite<'_>) -> bool {
    let first = write.into_data();
    // misuse {
    let second = write.into_data();
    // } else {
    let second = first;
    // }
    first == second
}

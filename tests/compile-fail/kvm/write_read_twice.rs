// SPDX-License-Identifier: GPL-2.0

//! why: What a guest writes may change between two reads, so it is read once.
//! against: virt/kvm/coalesced_io.rs
//! error: E0382

#![forbid(unsafe_code)]

use crate::sys::GuestWrite;

/// Reads it.
pub(crate) fn read(write: GuestWrite<'_>) -> bool {
    // misuse {
    let first = write.into_data();
    // }
    write.into_data().is_some()
}

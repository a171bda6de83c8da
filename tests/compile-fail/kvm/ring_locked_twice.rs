// SPDX-License-Identifier: GPL-2.0

//! why: The lock of a ring is taken once.
//! against: virt/kvm/coalesced_io.rs
//! error: E0382

#![forbid(unsafe_code)]

use crate::sys::RingLock;

/// Looks into the ring.
pub(crate) fn look(ring: RingLock<'_>) -> u32 {
    // misuse {
    let first = ring.lock();
    // }
    let second = ring.lock();
    second.len()
}

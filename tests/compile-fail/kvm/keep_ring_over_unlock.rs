// SPDX-License-Identifier: GPL-2.0

//! why: Without the lock there is a second producer.
//! against: virt/kvm/coalesced_io.rs
//! error: E0505

#![forbid(unsafe_code)]

use crate::sys::RingLock;
use siov_ring::Ring;

pub fn keep(ring: RingLock<'_>) -> u32 {
    let guard = ring.lock();
    let ring: &Ring = &guard;
    // misuse {
    drop(guard);
    // }
    ring.len()
}

// SPDX-License-Identifier: GPL-2.0

//! why: A processor that holds ring_lock would wait for itself.
//! against: virt/kvm/coalesced_io.rs
//! error: E0382

#![forbid(unsafe_code)]

use crate::sys::RingLock;

pub fn lock(ring: RingLock<'_>) -> u32 {
    let first = ring.lock();
    // misuse {
    let second = ring.lock();
    let _ = second.len();
    // }
    first.len()
}

// SPDX-License-Identifier: GPL-2.0

//! why: The page of a ring is freed with its VM.
//! against: virt/kvm/coalesced_io.rs
//! error: lifetime may not live long enough

#![forbid(unsafe_code)]

use crate::sys::RingLock;
use siov_ring::Ring;

// misuse {
pub fn keep(ring: RingLock<'_>) -> RingLock<'static> {
    ring
}
// } else {
pub fn length(ring: RingLock<'_>) -> u32 {
    let ring = ring.lock();
    let ring: &Ring = &ring;
    ring.len()
}
// }

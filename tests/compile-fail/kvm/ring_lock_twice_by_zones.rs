// SPDX-License-Identifier: GPL-2.0

//! why: A processor that holds ring_lock would wait for itself.
//! against: virt/kvm/coalesced_io.rs
//! error: E0499

#![forbid(unsafe_code)]

use crate::sys::Vm;

pub fn lock(mut vm: Vm<'_>) -> u32 {
    let mut zones = vm.lock_zones();
    let first = zones.ring().lock();
    // misuse {
    let second = zones.ring().lock();
    let _ = second.len();
    // }
    first.len()
}

// SPDX-License-Identifier: GPL-2.0

//! why: A lock that is kept does not free what it protects.
//! against: virt/kvm/coalesced_io.rs
//! error: E0505

#![forbid(unsafe_code)]

use crate::sys::Vm;

pub fn leak(mut vm: Vm<'_>) {
    let zones = vm.lock_zones();
    let counts = zones.vm_counts();
    // misuse {
    core::mem::forget(zones);
    // }
    let _ = counts.map(|counts| counts.peak.get());
}

// SPDX-License-Identifier: GPL-2.0

//! why: The data of a VM is freed under slots_lock.
//! against: virt/kvm/coalesced_io.rs
//! error: E0505

#![forbid(unsafe_code)]

use crate::sys::Vm;

pub fn keep(mut vm: Vm<'_>) -> u32 {
    let zones = vm.lock_zones();
    let counts = zones.vm_counts();
    // misuse {
    drop(zones);
    // }
    counts.map_or(0, |counts| counts.peak.get())
}

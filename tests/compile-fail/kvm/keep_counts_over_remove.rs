// SPDX-License-Identifier: GPL-2.0

//! why: What is borrowed from the list does not stay while the list changes.
//! against: virt/kvm/coalesced_io.rs
//! error: E0502

#![forbid(unsafe_code)]

use crate::sys::Vm;

pub fn keep(mut vm: Vm<'_>) -> u32 {
    let mut zones = vm.lock_zones();
    let counts = zones.vm_counts();
    // misuse {
    zones.remove_if(|_| true);
    // }
    let peak = counts.map_or(0, |counts| counts.peak.get());
    zones.remove_if(|_| true);
    peak
}

// SPDX-License-Identifier: GPL-2.0

//! why: A task that holds slots_lock would wait for itself.
//! against: virt/kvm/coalesced_io.rs
//! error: E0499

#![forbid(unsafe_code)]

use crate::sys::Vm;

pub fn lock(mut vm: Vm<'_>) {
    let zones = vm.lock_zones();
    zones.for_each(|_| {
        // misuse {
        vm.lock_zones();
        // }
    });
}

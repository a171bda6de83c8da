// SPDX-License-Identifier: GPL-2.0

//! why: A task that holds slots_lock would wait for itself.
//! against: virt/kvm/coalesced_io.rs
//! error: E0499

#![forbid(unsafe_code)]

use crate::sys::Vm;

pub fn lock(mut vm: Vm<'_>) {
    let first = vm.lock_zones();
    // misuse {
    let second = vm.lock_zones();
    second.for_each(|_| {});
    // }
    first.for_each(|_| {});
}

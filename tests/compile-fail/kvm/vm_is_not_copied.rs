// SPDX-License-Identifier: GPL-2.0

//! why: Two values for one VM could lock it twice.
//! against: virt/kvm/coalesced_io.rs
//! error: E0382

#![forbid(unsafe_code)]

use crate::sys::Vm;

fn remove(mut vm: Vm<'_>) {
    vm.lock_zones().remove_if(|_| true);
}

pub fn twice(vm: Vm<'_>) {
    remove(vm);
    // misuse {
    remove(vm);
    // }
}

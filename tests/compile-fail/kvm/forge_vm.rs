// SPDX-License-Identifier: GPL-2.0

//! why: A VM that KVM did not pass may not exist.
//! against: virt/kvm/coalesced_io.rs
//! error: E0423

#![forbid(unsafe_code)]

use crate::sys::Vm;
use linux::bindings::kvm;

// misuse {
pub fn forge(raw: &kvm) {
    let mut vm = Vm(raw);
    vm.lock_zones().remove_if(|_| true);
}
// } else {
pub fn use_of_a_call(mut vm: Vm<'_>) {
    vm.lock_zones().remove_if(|_| true);
}
// }

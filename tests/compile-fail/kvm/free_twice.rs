// SPDX-License-Identifier: GPL-2.0

//! why: The page of a ring is freed once.
//! against: virt/kvm/coalesced_io.rs
//! error: E0382

#![forbid(unsafe_code)]

use crate::sys::vm::UnusedVm;

pub fn free(vm: UnusedVm<'_>) {
    vm.free();
    // misuse {
    vm.free();
    // }
}

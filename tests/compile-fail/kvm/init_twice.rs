// SPDX-License-Identifier: GPL-2.0

//! why: A second ring would leave the first one to user space, and break a lock that is held.
//! against: virt/kvm/coalesced_io.rs
//! error: E0382

#![forbid(unsafe_code)]

use crate::sys::vm::NewVm;

pub fn init(vm: NewVm<'_>) {
    let _ = vm.init();
    // misuse {
    let _ = vm.init();
    // }
}

// SPDX-License-Identifier: GPL-2.0

//! why: A VM is freed by the last call for it.
//! against: virt/kvm/coalesced_io.rs
//! error: E0382

#![forbid(unsafe_code)]

use crate::sys::vm::UnusedVm;

/// Frees it.
pub(crate) fn free(vm: UnusedVm<'_>) {
    // misuse {
    vm.free();
    // }
    vm.free();
}

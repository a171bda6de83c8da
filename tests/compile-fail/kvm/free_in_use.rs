// SPDX-License-Identifier: GPL-2.0

//! why: A VM in use is not freed.
//! against: virt/kvm/coalesced_io.rs
//! error: E0423

#![forbid(unsafe_code)]

use crate::sys::vm::UnusedVm;
use crate::sys::Vm;

/// Frees it.
pub(crate) fn free(used: Vm<'_>, unused: UnusedVm<'_>) {
    // misuse {
    UnusedVm(used).free();
    // } else {
    drop(used);
    // }
    unused.free();
}

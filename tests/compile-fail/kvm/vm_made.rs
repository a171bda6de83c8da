// SPDX-License-Identifier: GPL-2.0

//! why: Only a call of KVM brings a VM, and once.
//! against: virt/kvm/coalesced_io.rs
//! error: E0423

#![forbid(unsafe_code)]

use crate::sys::vm::RawVm;
use crate::sys::Vm;

/// Makes a second one.
pub(crate) fn make<'a>(raw: &'a RawVm, vm: Vm<'a>) -> Vm<'a> {
    // misuse {
    let vm = Vm(raw);
    // }
    let _ = raw;
    vm
}

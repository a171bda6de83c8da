// SPDX-License-Identifier: GPL-2.0

//! why: A VM is lent for the call of KVM that brings it.
//! against: virt/kvm/coalesced_io.rs
//! error: E0621

#![forbid(unsafe_code)]

use crate::sys::Vm;

// misuse {
/// Lets it out.
pub(crate) fn keep<'a>(vm: Vm<'_>) -> Vm<'a> {
    vm
}
// } else {
/// Passes it on.
pub(crate) fn pass<'a>(vm: Vm<'a>) -> Vm<'a> {
    vm
}
// }

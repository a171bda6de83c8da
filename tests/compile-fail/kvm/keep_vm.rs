// SPDX-License-Identifier: GPL-2.0

//! why: A VM may be freed after the call.
//! against: virt/kvm/coalesced_io.rs
//! error: lifetime may not live long enough

#![forbid(unsafe_code)]

use crate::sys::Vm;

// misuse {
pub fn keep<'a>(vm: Vm<'a>) -> Vm<'static> {
    vm
}
// } else {
pub fn pass<'a>(vm: Vm<'a>) -> Vm<'a> {
    vm
}
// }

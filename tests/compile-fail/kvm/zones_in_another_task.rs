// SPDX-License-Identifier: GPL-2.0

//! why: The task that has locked a mutex unlocks it.
//! against: virt/kvm/coalesced_io.rs
//! error: E0277 `*mut ()` cannot be sent between threads safely
//! error: E0277 cannot be shared between threads safely

#![forbid(unsafe_code)]

use crate::sys::Vm;

// misuse {
fn send<T: Send>(_: T) {}
// } else {
fn send<T>(_: T) {}
// }

pub fn lock(mut vm: Vm<'_>) {
    send(vm.lock_zones());
}

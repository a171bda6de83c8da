// SPDX-License-Identifier: GPL-2.0

//! why: A VM is freed by KVM only, which knows that it has no other user.
//! against: virt/kvm/coalesced_io.rs
//! error: E0133

#![forbid(unsafe_code)]

use crate::sys::entry;
use linux::bindings::kvm;

// misuse {
/// For a VM in use: frees its data and the ring page.
pub fn free(raw: *mut kvm) {
    entry::kvm_coalesced_mmio_free(raw);
}
// } else {
/// What KVM calls.
pub fn free() -> unsafe extern "C" fn(*mut kvm) {
    entry::kvm_coalesced_mmio_free
}
// }

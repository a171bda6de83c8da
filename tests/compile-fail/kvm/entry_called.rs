// SPDX-License-Identifier: GPL-2.0

//! why: What KVM promises of a VM, safe code cannot.
//! against: virt/kvm/coalesced_io.rs
//! error: E0133

#![forbid(unsafe_code)]

use crate::sys::entry;
use linux::bindings;

/// Frees a VM.
pub(crate) fn free(kvm: *mut bindings::kvm) {
    // misuse {
    entry::kvm_coalesced_mmio_free(kvm);
    // } else {
    let _ = (kvm, entry::kvm_coalesced_mmio_free as usize);
    // }
}

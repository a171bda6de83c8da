// SPDX-License-Identifier: GPL-2.0

//! why: A device is destroyed after the last write to it.
//! against: virt/kvm/coalesced_io.rs
//! error: lifetime may not live long enough

#![forbid(unsafe_code)]

use crate::counts::VmCounts;
use crate::sys::Device;

// misuse {
pub fn keep(device: &Device) -> &'static VmCounts {
    device.vm_counts()
}
// } else {
pub fn borrow(device: &Device) -> &VmCounts {
    device.vm_counts()
}
// }

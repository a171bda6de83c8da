// SPDX-License-Identifier: GPL-2.0

//! why: An exported function has the type of its C prototype.
//! against: linux
//! error: E0308

#![forbid(unsafe_code)]

use kernel::device::Device;
use linux::bindings;

// misuse {
type Result = u64;
// } else {
type Result = i32;
// }

linux::exports! {
    /// `iommu_enable_aux_domain()`.
    ///
    /// # Safety
    ///
    /// The device is valid.
    unsafe fn iommu_enable_aux_domain(dev: *mut bindings::device => &Device) -> Result = enable;
}

fn enable(_dev: &Device) -> Result {
    0
}

// SPDX-License-Identifier: GPL-2.0

//! why: What no C header declares is not exported.
//! against: linux
//! error: E0425 cannot find value `iommu_enable_something` in

#![forbid(unsafe_code)]

use kernel::device::Device;
use linux::bindings;

// misuse {
linux::exports! {
    /// Not declared anywhere.
    ///
    /// # Safety
    ///
    /// The device is valid.
    unsafe fn iommu_enable_something(dev: *mut bindings::device => &Device) -> i32 = enable;
}
// } else {
linux::exports! {
    /// `iommu_enable_aux_domain()`.
    ///
    /// # Safety
    ///
    /// The device is valid.
    unsafe fn iommu_enable_aux_domain(dev: *mut bindings::device => &Device) -> i32 = enable;
}
// }

fn enable(_dev: &Device) -> i32 {
    0
}

// SPDX-License-Identifier: GPL-2.0

//! why: That a device keeps its IOMMU is a promise that safe code cannot make.
//! against: linux
//! error: E0133

#![forbid(unsafe_code)]

use kernel::device::Device;
use linux::iommu::{Group, IommuDevice};

/// Asks a device.
pub fn pasids(dev: &Device) -> u32 {
    // misuse {
    return IommuDevice::from_device(dev).map_or(0, IommuDevice::max_pasids);
    // }
    let _ = dev;
    0
}

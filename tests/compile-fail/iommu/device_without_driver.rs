// SPDX-License-Identifier: GPL-2.0

//! why: A device without a driver may be removed at any time, and with it what the IOMMU core keeps
//!     for it.
//! against: linux
//! error: E0277 From<&kernel::device::Device>` is not satisfied

#![forbid(unsafe_code)]

use kernel::device::Device;
use linux::device::Driven;
use linux::iommu::IommuDevice;

/// Asks a device.
pub fn pasids(driven: Driven<'_>, device: &Device) -> u32 {
    // misuse {
    let known = IommuDevice::new(device);
    // } else {
    let known = IommuDevice::new(driven);
    // }
    let (_, _) = (driven, device);
    known.map_or(0, IommuDevice::max_pasids)
}

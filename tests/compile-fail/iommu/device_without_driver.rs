// SPDX-License-Identifier: GPL-2.0

//! why: A device without a driver may be removed at any time, and with it what the IOMMU core keeps
//!     for it.
//! against: linux
//! error: E0277 From<&kernel::device::Device>` is not satisfied

#![forbid(unsafe_code)]

use kernel::device::{Bound, Device};
use linux::iommu::IommuDevice;

/// Asks a device.
pub fn pasids(bound: &Device<Bound>, device: &Device) -> u32 {
    // misuse {
    let known = IommuDevice::new(device);
    // } else {
    let known = IommuDevice::new(bound);
    // }
    let (_, _) = (bound, device);
    known.map_or(0, IommuDevice::max_pasids)
}

// SPDX-License-Identifier: GPL-2.0

//! why: A device that was bound before it had an IOMMU may lose it again while it is not locked.
//! against: linux
//! error: E0277 From<&kernel::device::Device<kernel::device::Bound>>` is not satisfied

#![forbid(unsafe_code)]

use kernel::device::{Bound, Device};
use linux::device::Driven;
use linux::iommu::IommuDevice;

/// Asks a device.
pub fn pasids(driven: Driven<'_>, bound: &Device<Bound>) -> u32 {
    // misuse {
    let known = IommuDevice::new(bound);
    // } else {
    let known = IommuDevice::new(driven);
    // }
    let (_, _) = (driven, bound);
    known.map_or(0, IommuDevice::max_pasids)
}

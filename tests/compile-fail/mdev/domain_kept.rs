// SPDX-License-Identifier: GPL-2.0

//! why: The container may lose the group when the device is closed: its domain is only lent.
//! against: linux linux_vfio linux_mdev
//! error: lifetime may not live long enough

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux::iommu::AnyDomain;
use linux_mdev::iommu_domain;
use linux_vfio::device::Handle;

// misuse {
/// Finds the domain, for ever.
pub fn domain(user: Handle<'_>) -> Result<&'static AnyDomain> {
    iommu_domain(user)
}
// } else {
/// Finds the domain.
pub fn domain(user: Handle<'_>) -> Result<&AnyDomain> {
    iommu_domain(user)
}
// }

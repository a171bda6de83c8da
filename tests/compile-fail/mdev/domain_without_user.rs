// SPDX-License-Identifier: GPL-2.0

//! why: A mediated device that is being made is not open, and has no domain.
//! against: linux linux_vfio linux_mdev
//! error: E0308

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux::iommu::AnyDomain;
use linux_mdev::{iommu_domain, Mdev};
use linux_vfio::device::Handle;

/// Finds the domain.
pub fn domain<'a>(mdev: &'a Mdev, user: Handle<'a>) -> Result<&'a AnyDomain> {
    let (_, _) = (mdev, user);
    // misuse {
    iommu_domain(mdev)
    // } else {
    iommu_domain(user)
    // }
}

// SPDX-License-Identifier: GPL-2.0

//! why: A range of IOVA has one user at a time: a promise that safe code cannot make.
//! against: linux siov_types
//! error: E0133

#![forbid(unsafe_code)]

use linux::iommu::OwnedDomain;
use siov_types::Iova;

/// Unmaps while others map.
pub fn unmap(domain: &OwnedDomain, iova: Iova) -> usize {
    // misuse {
    return domain.unmap(iova, 0x1000);
    // }
    let (_, _) = (domain, iova);
    0
}

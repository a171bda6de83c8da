// SPDX-License-Identifier: GPL-2.0

//! why: A gather belongs to the IOMMU core: what is put into it is freed.
//! against: linux siov_types
//! error: E0423

#![forbid(unsafe_code)]

use linux::iommu::driver::Gather;

/// Uses one.
pub fn gather(lent: &Gather) -> bool {
    // misuse {
    return Gather(kernel::types::Opaque::uninit()).is_queued();
    // }
    lent.is_queued()
}

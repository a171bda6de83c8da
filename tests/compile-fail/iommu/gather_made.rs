// SPDX-License-Identifier: GPL-2.0

//! why: A gather belongs to the IOMMU core: what is put into it is freed.
//! against: linux siov_types
//! error: E0624

#![forbid(unsafe_code)]

use linux::iommu::driver::Gather;

/// Uses one.
pub fn gather(lent: &Gather) -> bool {
    // misuse {
    return Gather::with_empty(|own| own.is_queued());
    // }
    lent.is_queued()
}

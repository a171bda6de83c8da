// SPDX-License-Identifier: GPL-2.0

//! why: Domains translate areas alone, so nothing else maps.
//! against: drivers/vfio/type1/type1.rs
//! error: E0624

#![forbid(unsafe_code)]

use crate::sys::domain::Domain;

/// Reaches the C domain.
pub(crate) fn map(domain: &Domain) -> usize {
    // misuse {
    let _ = domain.iommu();
    // }
    domain.members().len()
}

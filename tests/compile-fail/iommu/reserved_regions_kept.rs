// SPDX-License-Identifier: GPL-2.0

//! why: The list of reserved regions is lent for the call.
//! against: linux
//! error: E0521

#![forbid(unsafe_code)]

use linux::iommu::driver::ReservedRegions;

fn keep<T: 'static>(value: T) {
    drop(value);
}

/// Keeps the list.
pub fn regions(list: &'static u8, regions: ReservedRegions<'_>) {
    keep(list);
    // misuse {
    keep(regions);
    // } else {
    drop(regions);
    // }
}

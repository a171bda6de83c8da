// SPDX-License-Identifier: GPL-2.0

//! why: The words of a table are there as long as its pages.
//! against: linux
//! error: E0505

#![forbid(unsafe_code)]

use core::sync::atomic::Ordering;
use linux::iommu::driver::TablePages;

/// Reads a table.
pub fn first(pages: TablePages) -> u64 {
    let first = pages.first();
    // misuse {
    drop(pages);
    // }
    first.load(Ordering::Relaxed)
}

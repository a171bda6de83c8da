// SPDX-License-Identifier: GPL-2.0

//! why: Page tables are changed for the IOMMU core only, whose callers have each range to
//!     themselves.
//! against: linux siov_types siov_iopgtable
//! error: E0624

#![forbid(unsafe_code)]

use linux::iommu::driver::{Gather, PageTables};
use siov_types::Iova;

/// Unmaps what another one maps.
pub fn unmap(tables: &PageTables, gather: &mut Gather) -> u64 {
    // misuse {
    return tables.unmap(Iova::new(0), 0x1000, gather).bytes;
    // }
    let (_, _) = (gather, Iova::new(0));
    tables.table_pages()
}

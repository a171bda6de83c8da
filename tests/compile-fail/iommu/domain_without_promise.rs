// SPDX-License-Identifier: GPL-2.0

//! why: The core frees tables and memory when a domain has invalidated them.
//! against: linux siov_iopgtable siov_types
//! error: E0277 Isolates

#![forbid(unsafe_code)]

use linux::iommu::driver::{Driver, Gather, Isolates, PagingDomain};
use siov_types::IovaRange;

/// Invalidates nothing.
pub struct Domain<D>(pub D);

impl<D: Driver<Paging = Self>> PagingDomain for Domain<D>
where
    // misuse {
    D: Send,
    // } else {
    Self: Isolates,
    // }
{
    type Driver = D;

    fn sync(&self, _gather: &Gather) {}

    fn sync_all(&self) {}

    fn needs_sync_map(&self) -> bool {
        false
    }

    fn sync_map(&self, _range: IovaRange) {}

    fn enforce_cache_coherency(&self) -> bool {
        false
    }
}

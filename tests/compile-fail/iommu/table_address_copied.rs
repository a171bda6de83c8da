// SPDX-License-Identifier: GPL-2.0

//! why: The address of a table is that of its owner, who frees it once.
//! against: siov_iopgtable
//! error: E0382

#![forbid(unsafe_code)]

use siov_iopgtable::{PageMemory, TableAddr};

/// Frees it twice.
pub fn free<M: PageMemory>(memory: &M, table: TableAddr<M>) {
    // misuse {
    memory.free(table);
    // }
    memory.free(table);
}

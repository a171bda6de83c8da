// SPDX-License-Identifier: GPL-2.0

//! why: The number of a NUMA node is an index into an array of the kernel, which does not check it.
//! against: linux
//! error: E0603

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux::iommu::driver::{Gfp, TableMemory, TablePages};
use linux::numa;

/// Allocates tables.
pub fn alloc(memory: TableMemory) -> Result<TablePages> {
    // misuse {
    let memory = TableMemory {
        node: numa::Node(1 << 20),
        ..memory
    };
    // } else {
    let memory = TableMemory {
        node: numa::Node::ANY,
        ..memory
    };
    // }
    TablePages::new(memory, 0x1000, Gfp::KERNEL)
}

// SPDX-License-Identifier: GPL-2.0

//! why: A table of one memory is not freed as one of another.
//! against: linux siov_types siov_iopgtable
//! error: E0308

#![forbid(unsafe_code)]

use core::sync::atomic::AtomicU64;
use linux::iommu::driver::Gather;
use siov_iopgtable::{PageMemory, Table, TableAddr};
use siov_types::PhysAddr;

/// Memory that makes up addresses.
pub struct Forged(Table);

impl PageMemory for Forged {
    type Context = ();

    fn alloc(&self, _context: ()) -> Option<PhysAddr> {
        Some(PhysAddr::new(0x100_0000))
    }

    fn table(&self, _addr: &TableAddr<Self>) -> &Table {
        &self.0
    }

    fn free(&self, _addr: TableAddr<Self>) {}

    fn publish(&self, _entries: &[AtomicU64]) {}

    fn coherent(&self) -> bool {
        true
    }
}

/// Has a made-up page freed.
pub fn free(gather: &mut Gather, table: TableAddr<Forged>, memory: &Forged) {
    // misuse {
    siov_iopgtable::Gather::table(gather, table);
    // } else {
    memory.free(table);
    // }
    let (_, _) = (gather, memory);
}

// SPDX-License-Identifier: GPL-2.0

//! Pages for tables that the hardware walks, accounted as the kernel accounts them
//! (`nr_iommu_pages` in `/proc/vmstat`, `SecPageTables` in `/proc/meminfo`).
//!
//! C header: [`drivers/iommu/iommu-pages.h`](srctree/drivers/iommu/iommu-pages.h)

use crate::{bindings, mm};
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use kernel::prelude::*;
use siov_iopgtable::{PageMemory, Table, TableAddr};
use siov_types::{PhysAddr, PAGE_SIZE};

/// How to allocate: the kernel's GFP flags.
#[derive(Clone, Copy)]
pub struct Gfp(bindings::gfp_t);

impl Gfp {
    /// May sleep.
    pub const KERNEL: Self = Self(bindings::GFP_KERNEL);
    /// May not sleep.
    pub const ATOMIC: Self = Self(bindings::GFP_ATOMIC);

    pub(crate) fn from_raw(raw: bindings::gfp_t) -> Self {
        Self(raw)
    }
}

/// Memory for page tables, near one NUMA node.
pub struct IommuPages {
    node: i32,
    coherent: bool,
}

impl IommuPages {
    /// Pages near `node` (negative: anywhere); `coherent` when the hardware's walker snoops the
    /// CPU's caches.
    pub const fn new(node: i32, coherent: bool) -> Self {
        Self { node, coherent }
    }

    fn alloc_bytes(&self, bytes: usize, gfp: Gfp) -> Option<NonNull<u8>> {
        // SAFETY: May be called with any size; returns zeroed pages or null.
        let page = unsafe { bindings::iommu_alloc_pages_node_sz(self.node, gfp.0, bytes) };
        NonNull::new(page.cast())
    }
}

/// The direct-map address of a table page.
#[inline(always)]
pub(super) fn table_virt(table: &TableAddr) -> *mut core::ffi::c_void {
    mm::phys_to_virt(table.phys()).cast()
}

impl PageMemory for IommuPages {
    type Context = Gfp;

    #[inline]
    fn alloc(&self, gfp: Gfp) -> Option<PhysAddr> {
        self.alloc_bytes(PAGE_SIZE as usize, gfp)
            .map(mm::virt_to_phys)
    }

    #[inline(always)]
    fn table(&self, table: &TableAddr) -> &Table {
        // SAFETY: A `TableAddr` comes from `alloc()` above and has not been freed: only the page
        // table code makes them, from an answer of `alloc()` or from an entry of a live table, and a
        // range of IOVA has one user at a time, so nobody frees a table that another one is using.
        // The page is in the direct map, aligned, of the size of a `Table`, and accessed by atomics
        // only.
        unsafe { &*mm::phys_to_virt(table.phys()).cast::<Table>() }
    }

    fn free(&self, table: TableAddr) {
        // SAFETY: As in `table()`, and `table` is passed by value: nobody uses it any more.
        unsafe { bindings::iommu_free_pages(table_virt(&table)) };
    }

    #[inline(always)]
    fn publish(&self, entries: &[AtomicU64]) {
        if !self.coherent {
            mm::flush_cache(entries.as_ptr(), size_of_val(entries));
        }
    }

    #[inline(always)]
    fn coherent(&self) -> bool {
        self.coherent
    }
}

/// Zeroed pages that hold a table of 64-bit words for the hardware; freed on drop.
///
/// # Invariants
///
/// `virt` is the start of `words` times eight bytes of our own.
pub struct TablePages {
    virt: NonNull<AtomicU64>,
    words: usize,
    coherent: bool,
}

// SAFETY: Owned memory, accessed through atomics only.
unsafe impl Send for TablePages {}
// SAFETY: As above.
unsafe impl Sync for TablePages {}

impl TablePages {
    /// `bytes` bytes, rounded up to a power of two of pages.
    pub fn new(memory: &IommuPages, bytes: usize, gfp: Gfp) -> Result<Self> {
        let bytes = bytes
            .max(PAGE_SIZE as usize)
            .checked_next_power_of_two()
            .ok_or(EINVAL)?;
        let virt = memory.alloc_bytes(bytes, gfp).ok_or(ENOMEM)?;
        // INVARIANT: That many bytes have just been allocated.
        let table = Self {
            virt: virt.cast(),
            words: bytes / size_of::<u64>(),
            coherent: memory.coherent,
        };
        table.publish(table.words());
        Ok(table)
    }

    /// Physical address, for the hardware.
    pub fn phys(&self) -> PhysAddr {
        mm::virt_to_phys(self.virt.cast())
    }

    /// All words of the table.
    #[inline]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: By the type's invariant; zeroed memory is valid for atomics.
        unsafe { core::slice::from_raw_parts(self.virt.as_ptr(), self.words) }
    }

    /// The first word.
    #[inline]
    pub fn first(&self) -> &AtomicU64 {
        // SAFETY: By the type's invariant; a table has at least one page.
        unsafe { self.virt.as_ref() }
    }

    /// Makes `words`, part of this table, visible to a walker that does not snoop.
    #[inline]
    pub fn publish(&self, words: &[AtomicU64]) {
        if !self.coherent {
            mm::flush_cache(words.as_ptr(), size_of_val(words));
        }
    }
}

impl Drop for TablePages {
    fn drop(&mut self) {
        // SAFETY: By the type's invariant the pages are ours.
        unsafe { bindings::iommu_free_pages(self.virt.as_ptr().cast()) };
    }
}

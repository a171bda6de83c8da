// SPDX-License-Identifier: GPL-2.0

//! Pages for tables that the hardware walks, accounted as the kernel accounts them
//! (`nr_iommu_pages` in `/proc/vmstat`, `SecPageTables` in `/proc/meminfo`).
//!
//! C header: [`drivers/iommu/iommu-pages.h`](srctree/drivers/iommu/iommu-pages.h)

use crate::{bindings, mm, numa};
use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use kernel::prelude::*;
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

/// Where memory for tables comes from.
#[derive(Clone, Copy)]
pub struct TableMemory {
    /// NUMA node.
    pub node: numa::Node,
    /// Whether the hardware's walker snoops the CPU's caches.
    pub coherent: bool,
}

impl TableMemory {
    /// Zeroed pages: the result is the first of `bytes` bytes, rounded up to a power of two of
    /// pages.
    pub(super) fn alloc(self, bytes: usize, gfp: Gfp) -> Option<NonNull<c_void>> {
        // SAFETY: May be called with any size, and a node that there is; returns zeroed pages or
        // null.
        NonNull::new(unsafe { bindings::iommu_alloc_pages_node_sz(self.node.raw(), gfp.0, bytes) })
    }

    /// Makes `words` visible to the walker.
    #[inline(always)]
    pub(super) fn publish(self, words: &[AtomicU64]) {
        if !self.coherent {
            mm::flush_cache(words);
        }
    }
}

/// Zeroed pages that hold a table of 64-bit words for the hardware; freed on drop.
///
/// # Invariants
///
/// `virt` is the start of `words` times eight bytes, at least a page, of our own.
pub struct TablePages {
    virt: NonNull<AtomicU64>,
    words: usize,
    memory: TableMemory,
}

// SAFETY: Owned memory, accessed through atomics only.
unsafe impl Send for TablePages {}
// SAFETY: As above.
unsafe impl Sync for TablePages {}

impl TablePages {
    /// `bytes` bytes, rounded up to a power of two of pages.
    ///
    /// # Errors
    ///
    /// `EINVAL` for more than there can be, `ENOMEM`.
    pub fn new(memory: TableMemory, bytes: usize, gfp: Gfp) -> Result<Self> {
        let bytes = bytes
            .max(PAGE_SIZE as usize)
            .checked_next_power_of_two()
            .ok_or(EINVAL)?;
        let virt = memory.alloc(bytes, gfp).ok_or(ENOMEM)?;
        // INVARIANT: That many bytes have just been allocated.
        let table = Self {
            virt: virt.cast(),
            words: bytes / size_of::<u64>(),
            memory,
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
        self.memory.publish(words);
    }
}

impl Drop for TablePages {
    fn drop(&mut self) {
        // SAFETY: By the type's invariant the pages are ours.
        unsafe { bindings::iommu_free_pages(self.virt.as_ptr().cast()) };
    }
}

// SPDX-License-Identifier: GPL-2.0

//! What is to be forgotten by the hardware, and freed after that.

use super::pages::table_virt;
use crate::abi::Receive;
use crate::bindings;
use kernel::types::Opaque;
use siov_iopgtable::TableAddr;
use siov_types::{Iova, IovaRange};

/// Ranges and table pages waiting for an invalidation (`struct iommu_iotlb_gather`).
#[repr(transparent)]
pub struct Gather(Opaque<bindings::iommu_iotlb_gather>);

/// Tables detached from a page table, as [`Gather`] collects them.
pub type GatheredPages = Gather;

// SAFETY: Transparent; the core passes an initialised gather for the function alone.
unsafe impl Receive<*mut bindings::iommu_iotlb_gather> for &mut Gather {}

impl Gather {
    /// Calls `f` with an empty one.
    #[inline(always)]
    pub(super) fn with_empty<R>(f: impl FnOnce(&mut Self) -> R) -> R {
        let mut gather = Self(Opaque::new(bindings::iommu_iotlb_gather {
            start: usize::MAX,
            ..Default::default()
        }));
        // SAFETY: The gather is ours, and stays where it is until `f` has returned.
        unsafe {
            let head = &raw mut (*gather.raw()).freelist.pages;
            (*head).next = head;
            (*head).prev = head;
        }
        f(&mut gather)
    }

    #[inline(always)]
    fn raw(&self) -> *mut bindings::iommu_iotlb_gather {
        self.0.get()
    }

    /// Adds `range` to what must be invalidated. The gather holds one range: the hull of all.
    #[inline(always)]
    pub fn add(&mut self, range: IovaRange) {
        // SAFETY: We have the gather for ourselves.
        let g = unsafe { &mut *self.raw() };
        g.start = g.start.min(range.first().raw() as usize);
        g.end = g.end.max(range.last().raw() as usize);
    }

    /// Whether all of the domain will be invalidated later, so that no range need be (`queued`).
    #[inline(always)]
    pub fn is_queued(&self) -> bool {
        // SAFETY: The gather is initialised.
        unsafe { (*self.raw()).queued }
    }

    /// The range to invalidate; `None` when nothing was added.
    #[inline(always)]
    pub fn range(&self) -> Option<IovaRange> {
        // SAFETY: The gather is initialised.
        let g = unsafe { &*self.raw() };
        IovaRange::new(Iova::new(g.start as u64), Iova::new(g.end as u64))
    }

    /// Whether tables were detached, so that caches of non-leaf entries must go as well.
    #[inline(always)]
    pub fn has_tables(&self) -> bool {
        // SAFETY: The gather is initialised, so its list head is.
        unsafe {
            let head = &raw mut (*self.raw()).freelist.pages;
            (*head).next != head
        }
    }

    /// Frees the detached tables.
    ///
    /// # Safety
    ///
    /// No hardware holds a path to them any more.
    pub(super) unsafe fn free_tables(&mut self) {
        // SAFETY: The list holds pages of `iommu_alloc_pages_node_sz()`, which nobody can reach by
        // the function's requirement.
        unsafe { bindings::iommu_put_pages_list(&raw mut (*self.raw()).freelist) };
    }
}

impl siov_iopgtable::Gather for Gather {
    #[inline]
    fn table(&mut self, table: TableAddr) {
        // SAFETY: `table` is a page of `iommu_alloc_pages_node_sz()` that has just been detached, so
        // it is on no list; the gather's list head is initialised.
        unsafe {
            bindings::siov_helper_iommu_pages_list_add(
                &raw mut (*self.raw()).freelist,
                table_virt(&table),
            )
        };
    }
}

// SPDX-License-Identifier: GPL-2.0

//! What is to be invalidated, and freed after that.

use super::tables::{self, Memory};
use crate::bindings;
use crate::callback::{Call, FromC};
use core::mem::MaybeUninit;
use kernel::types::Opaque;
use siov_iopgtable::TableAddr;
use siov_types::{Iova, IovaRange};

/// Ranges and table pages waiting for an invalidation (`struct iommu_iotlb_gather`).
///
/// # Invariants
///
/// Initialised, and used by nobody else. Its list holds tables of [`PageTables`](super::PageTables)
/// that have been unlinked.
#[repr(transparent)]
pub struct Gather(Opaque<bindings::iommu_iotlb_gather>);

/// Initialised, of a domain of ours, and nobody else's until the call ends.
impl<'call> FromC<'call, *mut bindings::iommu_iotlb_gather> for &'call mut Gather {
    #[inline(always)]
    unsafe fn from_c(gather: *mut bindings::iommu_iotlb_gather, _call: &'call Call) -> Self {
        // SAFETY: As required of us; `Gather` is transparent.
        unsafe { &mut *gather.cast() }
    }
}

/// A gather for tables that leaves replace, which is made when there is the first: mapping a page
/// mostly has none.
pub(super) struct Replaced {
    gather: MaybeUninit<Gather>,
    made: bool,
}

impl Replaced {
    /// Calls `f` with an empty one. It stays where it is until `f` has returned.
    #[inline(always)]
    pub(super) fn with_empty<R>(f: impl FnOnce(&mut Self) -> R) -> R {
        f(&mut Self {
            gather: MaybeUninit::uninit(),
            made: false,
        })
    }

    /// The gather, if there are tables in it.
    #[inline(always)]
    pub(super) fn tables(&mut self) -> Option<&mut Gather> {
        if !self.made {
            return None;
        }
        // SAFETY: `make` has initialised it.
        Some(unsafe { self.gather.assume_init_mut() })
    }

    #[cold]
    fn make(&mut self) -> &mut Gather {
        let gather = self
            .gather
            .write(Gather(Opaque::new(bindings::iommu_iotlb_gather {
                start: usize::MAX,
                ..Default::default()
            })));
        let head = gather.list();
        // SAFETY: The gather is ours, and stays where it is as long as it is used.
        unsafe { (*head).next = head };
        // SAFETY: As above.
        unsafe { (*head).prev = head };
        self.made = true;
        gather
    }
}

impl siov_iopgtable::Gather<Memory> for Replaced {
    #[cold]
    fn table(&mut self, table: TableAddr<Memory>) {
        let gather = match self.tables() {
            Some(gather) => gather,
            None => self.make(),
        };
        gather.table(table);
    }
}

impl Gather {
    #[inline(always)]
    fn raw(&self) -> *mut bindings::iommu_iotlb_gather {
        self.0.get()
    }

    #[inline(always)]
    fn freelist(&self) -> *mut bindings::iommu_pages_list {
        // SAFETY: The gather is valid; no reference is made.
        unsafe { &raw mut (*self.raw()).freelist }
    }

    #[inline(always)]
    fn list(&self) -> *mut bindings::list_head {
        // SAFETY: As above.
        unsafe { &raw mut (*self.freelist()).pages }
    }

    /// Adds `range` to what must be invalidated. The gather holds one range: the hull of all.
    #[inline(always)]
    pub(super) fn add(&mut self, range: IovaRange) {
        let (first, last) = (range.first().raw() as usize, range.last().raw() as usize);
        // SAFETY: By the invariant, we have the gather for ourselves.
        let start = unsafe { &mut (*self.raw()).start };
        *start = (*start).min(first);
        // SAFETY: As above.
        let end = unsafe { &mut (*self.raw()).end };
        *end = (*end).max(last);
    }

    /// Whether all of the domain will be invalidated later, so that no range need be (`queued`).
    #[inline(always)]
    pub fn is_queued(&self) -> bool {
        // SAFETY: By the invariant.
        unsafe { (*self.raw()).queued }
    }

    /// The range to invalidate; `None` when nothing was added.
    #[inline(always)]
    pub fn range(&self) -> Option<IovaRange> {
        // SAFETY: By the invariant.
        let start = unsafe { (*self.raw()).start };
        // SAFETY: By the invariant.
        let end = unsafe { (*self.raw()).end };
        IovaRange::new(Iova::new(start as u64), Iova::new(end as u64))
    }

    /// Whether tables were unlinked, so that caches of non-leaf entries must be invalidated as
    /// well.
    #[inline(always)]
    pub fn has_tables(&self) -> bool {
        let head = self.list();
        // SAFETY: By the invariant the list head is initialised.
        unsafe { (*head).next != head }
    }

    /// Frees the unlinked tables.
    ///
    /// # Safety
    ///
    /// Neither hardware nor a walk can reach them any more.
    pub(super) unsafe fn free_tables(&mut self) {
        let list = self.freelist();
        // SAFETY: The list holds pages of `iommu_alloc_pages_node_sz()`, which nobody can reach, as
        // required of us.
        unsafe { bindings::iommu_put_pages_list(list) };
    }
}

impl siov_iopgtable::Gather<Memory> for Gather {
    #[inline]
    fn table(&mut self, table: TableAddr<Memory>) {
        let (list, page) = (self.freelist(), tables::virt(&table));
        // SAFETY: By the invariant, the list is initialised. The page has just been unlinked, so it
        // is on no list.
        unsafe { bindings::siov_helper_iommu_pages_list_add(list, page) };
    }
}

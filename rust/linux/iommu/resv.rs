// SPDX-License-Identifier: GPL-2.0

//! Ranges of IOVA with a fixed meaning.

use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;
use siov_iopgtable::Prot;
use siov_types::Iova;

/// What is special about a range (`enum iommu_resv_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReservedKind {
    /// Must be mapped one to one at all times.
    Direct,
    /// Mapped one to one for the kernel's own use, free for an assigned device.
    DirectRelaxable,
    /// Cannot be used for DMA.
    Reserved,
    /// The hardware's window for message signalled interrupts.
    Msi,
}

/// The list that [`super::Driver::reserved_regions`] fills.
pub struct ReservedRegions<'a> {
    head: *mut bindings::list_head,
    _list: PhantomData<&'a mut ()>,
}

impl ReservedRegions<'_> {
    /// # Safety
    ///
    /// `head` is an initialised list of `struct iommu_resv_region` that is ours for the lifetime.
    pub(super) unsafe fn from_raw(head: *mut bindings::list_head) -> Self {
        Self {
            head,
            _list: PhantomData,
        }
    }

    /// Adds `len` bytes from `start` on.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; the region is missing from the list then.
    pub fn push(&mut self, start: Iova, len: u64, prot: Prot, kind: ReservedKind) -> Result {
        let kind = match kind {
            ReservedKind::Direct => bindings::iommu_resv_type_IOMMU_RESV_DIRECT,
            ReservedKind::DirectRelaxable => bindings::iommu_resv_type_IOMMU_RESV_DIRECT_RELAXABLE,
            ReservedKind::Reserved => bindings::iommu_resv_type_IOMMU_RESV_RESERVED,
            ReservedKind::Msi => bindings::iommu_resv_type_IOMMU_RESV_MSI,
        };
        let mut raw = 0;
        if prot.contains(Prot::READ) {
            raw |= bindings::IOMMU_READ as i32;
        }
        if prot.contains(Prot::WRITE) {
            raw |= bindings::IOMMU_WRITE as i32;
        }

        // SAFETY: Plain allocation, from a context that may sleep.
        let region = unsafe {
            bindings::iommu_alloc_resv_region(
                start.raw(),
                usize::try_from(len)?,
                raw,
                kind,
                bindings::GFP_KERNEL,
            )
        };
        if region.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: A new region is on no list, and `head` is ours by the invariant of `from_raw`.
        unsafe { bindings::siov_helper_list_add_tail(&raw mut (*region).list, self.head) };
        Ok(())
    }
}

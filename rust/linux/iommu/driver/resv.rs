// SPDX-License-Identifier: GPL-2.0

//! Ranges of IOVA with a fixed meaning.

use crate::bindings;
use crate::callback::{Call, FromC};
use crate::iommu::prot_to_raw;
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

/// The list that [`super::Driver::reserved_regions`] fills: an initialised list of
/// `struct iommu_resv_region`, nobody else's until the call ends.
pub struct ReservedRegions<'call>(*mut bindings::list_head, PhantomData<&'call Call>);

impl<'call> FromC<'call, *mut bindings::list_head> for ReservedRegions<'call> {
    unsafe fn from_c(list: *mut bindings::list_head, _call: &'call Call) -> Self {
        Self(list, PhantomData)
    }
}

impl ReservedRegions<'_> {
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
        let (len, prot) = (usize::try_from(len)?, prot_to_raw(prot));
        // SAFETY: Takes any numbers; the context may sleep.
        let region = unsafe {
            bindings::iommu_alloc_resv_region(start.raw(), len, prot, kind, bindings::GFP_KERNEL)
        };
        if region.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: The region is valid; no reference is made.
        let link = unsafe { &raw mut (*region).list };
        // SAFETY: A new region is on no list, and this one is ours.
        unsafe { bindings::siov_helper_list_add_tail(link, self.0) };
        Ok(())
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Ranges of IOVA with a fixed meaning.

use crate::abi::Receive;
use crate::bindings;
use kernel::prelude::*;
use kernel::types::Opaque;
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
#[repr(transparent)]
pub struct ReservedRegions<'a>(&'a mut Opaque<bindings::list_head>);

// SAFETY: The core passes an initialised list of `struct iommu_resv_region` for the function alone.
unsafe impl Receive<*mut bindings::list_head> for ReservedRegions<'_> {}

mod c {
    use crate::bindings;

    // SAFETY: Plain allocation, from a context that may sleep.
    crate::c_functions!(unsafe {
        pub(super) fn iommu_alloc_resv_region(
            start: u64,
            len: usize,
            prot: i32,
            kind: bindings::iommu_resv_type,
            gfp: bindings::gfp_t,
        ) -> *mut bindings::iommu_resv_region;
    });
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
        let mut raw = 0;
        if prot.contains(Prot::READ) {
            raw |= bindings::IOMMU_READ as i32;
        }
        if prot.contains(Prot::WRITE) {
            raw |= bindings::IOMMU_WRITE as i32;
        }

        let len = usize::try_from(len)?;
        let region = c::iommu_alloc_resv_region(start.raw(), len, raw, kind, bindings::GFP_KERNEL);
        if region.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: A new region is on no list, and this one is ours.
        unsafe { bindings::siov_helper_list_add_tail(&raw mut (*region).list, self.0.get()) };
        Ok(())
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Domains for those who use an IOMMU.
//!
//! C header: [`include/linux/iommu.h`](srctree/include/linux/iommu.h)

use super::pasid::c::iommu_paging_domain_alloc_flags;
use super::{AnyDomain, Translated};
use crate::bindings;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::error::{from_err_ptr, to_result};
use kernel::prelude::*;
use siov_iopgtable::Prot;
use siov_types::{Iova, PhysAddr};

mod c {
    use super::AnyDomain;
    use crate::bindings;

    // SAFETY: A valid domain. What a device may do to the memory is up to whoever attaches it.
    crate::c_functions!(unsafe {
        pub(super) fn iommu_map(
            domain: &AnyDomain,
            iova: usize,
            phys: u64,
            len: usize,
            prot: i32,
            gfp: bindings::gfp_t,
        ) -> i32;
        pub(super) fn iommu_unmap(domain: &AnyDomain, iova: usize, len: usize) -> usize;
    });
}

/// A paging domain, freed when dropped. By then it must be attached nowhere.
pub struct OwnedDomain(NonNull<bindings::iommu_domain>);

// SAFETY: Domains may be used from any thread.
unsafe impl Send for OwnedDomain {}
// SAFETY: Mapping and unmapping of one domain may run concurrently.
unsafe impl Sync for OwnedDomain {}

impl OwnedDomain {
    /// A domain that suits `dev` (`iommu_paging_domain_alloc()`).
    pub fn new(dev: Translated<'_>) -> Result<Self> {
        let raw = from_err_ptr(iommu_paging_domain_alloc_flags(dev, 0))?;
        NonNull::new(raw).map(Self).ok_or(ENOMEM)
    }

    /// Maps `len` bytes at `iova` to `phys`; all three are multiples of the domain's smallest page.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE` when something is mapped there, `EINVAL`, `ENOMEM`; nothing is mapped then.
    pub fn map(&self, iova: Iova, phys: PhysAddr, len: usize, prot: Prot) -> Result {
        let mut flags = 0;
        if prot.contains(Prot::READ) {
            flags |= bindings::IOMMU_READ;
        }
        if prot.contains(Prot::WRITE) {
            flags |= bindings::IOMMU_WRITE;
        }
        let (iova, gfp) = (iova.raw() as usize, bindings::GFP_KERNEL);
        to_result(c::iommu_map(self, iova, phys.raw(), len, flags as i32, gfp))
    }

    /// Unmaps `len` bytes from `iova` on and says how many were mapped.
    pub fn unmap(&self, iova: Iova, len: usize) -> usize {
        c::iommu_unmap(self, iova.raw() as usize, len)
    }
}

impl Deref for OwnedDomain {
    type Target = AnyDomain;

    #[inline(always)]
    fn deref(&self) -> &AnyDomain {
        // SAFETY: `AnyDomain` is transparent. It is freed in `drop`, when it is attached nowhere.
        unsafe { self.0.cast().as_ref() }
    }
}

impl Drop for OwnedDomain {
    fn drop(&mut self) {
        // SAFETY: Allocated in `new`.
        unsafe { bindings::iommu_domain_free(self.0.as_ptr()) };
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Domains for those who use an IOMMU.

use super::{prot_to_raw, IommuDevice};
use crate::bindings;
use crate::object::Object;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::Opaque;
use siov_iopgtable::Prot;
use siov_types::{Iova, PhysAddr};

/// A `struct iommu_domain` of any IOMMU driver.
#[repr(transparent)]
pub struct AnyDomain(Opaque<bindings::iommu_domain>);

// SAFETY: A transparent `Opaque`, which an IOMMU driver has initialised.
unsafe impl Object<bindings::iommu_domain> for AnyDomain {}
// SAFETY: What a reference allows is reading what does not change.
unsafe impl Sync for AnyDomain {}

/// Distinguishes one [`AnyDomain`] from another, as long as both exist.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DomainKey(usize);

impl DomainKey {
    /// That of a domain that may have been freed; `None` for NULL and error pointers.
    pub fn former(domain: *const bindings::iommu_domain) -> Option<Self> {
        crate::ffi::is_object(domain).then_some(Self(domain as usize))
    }

    /// A number that is different for each domain.
    pub fn get(self) -> usize {
        self.0
    }
}

impl AnyDomain {
    /// Which domain it is.
    pub fn key(&self) -> DomainKey {
        DomainKey(self.as_raw() as usize)
    }

    /// Whether page tables translate it, which their owner changes with `iommu_map()`.
    pub fn is_paging(&self) -> bool {
        // SAFETY: The domain is valid, and its type does not change.
        let kind = unsafe { (*self.as_raw()).type_ };
        kind & bindings::__IOMMU_DOMAIN_PAGING != 0
    }

    /// Whether its driver can attach it to a PASID.
    pub fn takes_pasids(&self) -> bool {
        // SAFETY: The domain is valid, and its operations do not change.
        let ops = unsafe { (*self.as_raw()).ops };
        // SAFETY: The operations of a domain stay as long as the domain.
        unsafe { (*ops).set_dev_pasid.is_some() }
    }
}

/// A paging domain, freed when dropped. It keeps the module of the IOMMU driver that made it: the
/// core has a reference to that for each device only.
///
/// What is attached to it is attached by unsafe code, which sees to it that the domain stays: see
/// [`PasidAttachment`](super::PasidAttachment) and `linux_aux::Attachment`, which holds an
/// [`Arc`](kernel::sync::Arc) of one.
pub struct OwnedDomain {
    domain: NonNull<bindings::iommu_domain>,
    /// Comes with a reference; null for code of the kernel itself.
    module: *mut bindings::module,
}

// SAFETY: A domain belongs to no thread.
unsafe impl Send for OwnedDomain {}
// SAFETY: What a reference allows without unsafe code is reading what does not change.
unsafe impl Sync for OwnedDomain {}

impl OwnedDomain {
    /// A domain that suits `dev` (`iommu_paging_domain_alloc()`).
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver.
    pub fn new(dev: IommuDevice<'_>) -> Result<Self> {
        let domain = NonNull::new(dev.alloc_domain()?).ok_or(ENOMEM)?;
        let module = dev.ops_module();
        // SAFETY: Null, or a module to which the core has a reference as long as the device has its
        // IOMMU.
        unsafe { bindings::__module_get(module) };
        Ok(Self { domain, module })
    }

    /// Maps `len` bytes at `iova` to `phys`; all three are multiples of the domain's smallest page.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE` when something is mapped there, `EINVAL`, `ENOMEM`; nothing is mapped then.
    ///
    /// # Safety
    ///
    /// - The memory may be used by devices as `prot` says, from now until the range is unmapped or
    ///   the domain dropped: it is not freed, and nothing else is there that writes of a device
    ///   would harm.
    /// - Until this returns, no other call maps, unmaps or looks up addresses of the range.
    pub unsafe fn map(&self, iova: Iova, phys: PhysAddr, len: usize, prot: Prot) -> Result {
        let (iova, gfp) = (iova.raw() as usize, bindings::GFP_KERNEL);
        // SAFETY: The domain is valid; as required of us.
        to_result(unsafe {
            bindings::iommu_map(self.as_raw(), iova, phys.raw(), len, prot_to_raw(prot), gfp)
        })
    }

    /// Unmaps `len` bytes from `iova` on and returns how many were mapped. The device does not
    /// reach them any more when this returns.
    ///
    /// # Safety
    ///
    /// Until this returns, no other call maps, unmaps or looks up addresses of the range.
    pub unsafe fn unmap(&self, iova: Iova, len: usize) -> usize {
        // SAFETY: The domain is valid; as required of us.
        unsafe { bindings::iommu_unmap(self.as_raw(), iova.raw() as usize, len) }
    }
}

impl Deref for OwnedDomain {
    type Target = AnyDomain;

    #[inline(always)]
    fn deref(&self) -> &AnyDomain {
        // SAFETY: `AnyDomain` is transparent, and the domain is freed in `drop`.
        unsafe { self.domain.cast().as_ref() }
    }
}

impl Drop for OwnedDomain {
    fn drop(&mut self) {
        // SAFETY: Allocated in `new`, and attached nowhere: see the type.
        unsafe { bindings::iommu_domain_free(self.domain.as_ptr()) };
        // SAFETY: The reference of `new`. None of its functions runs for the domain any more.
        unsafe { bindings::module_put(self.module) };
    }
}

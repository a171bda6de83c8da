// SPDX-License-Identifier: GPL-2.0

//! An IOMMU domain of our own (`struct iommu_domain` of type unmanaged).

use crate::space::mapping::Access;
use crate::sys::c;
use kernel::error::to_result;
use kernel::prelude::*;
use linux::abi::Object;
use linux::bindings;
use linux::iommu::{AnyDomain, IommuDevice, OwnedDomain};
use siov_type1::run::Extent;
use siov_types::{Iova, IovaRange};

/// A domain, freed when dropped. By then nothing is attached to it any more: attachments keep it.
///
/// Ranges of IOVA have one user at a time, which the container's lock sees to.
pub(crate) struct Table(OwnedDomain);

impl Table {
    /// A domain for `device`.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver; `ENODEV` without one.
    pub(crate) fn new(device: IommuDevice<'_>) -> Result<Self> {
        OwnedDomain::new(device).map(Self)
    }

    #[inline(always)]
    pub(crate) fn domain(&self) -> &AnyDomain {
        &self.0
    }

    fn raw(&self) -> &bindings::iommu_domain {
        // SAFETY: Valid; the fields that are read do not change after allocation.
        unsafe { &*self.domain().as_raw() }
    }

    fn ops(&self) -> &bindings::iommu_domain_ops {
        // SAFETY: A paging domain has operations that live as long as its driver.
        unsafe { &*self.raw().ops }
    }

    /// What can be translated.
    pub(crate) fn aperture(&self) -> IovaRange {
        let geometry = &self.raw().geometry;
        let (first, last) = (geometry.aperture_start, geometry.aperture_end);
        IovaRange::new(Iova::new(first), Iova::new(last)).unwrap_or(IovaRange::ALL)
    }

    /// Page sizes, a bit each.
    pub(crate) fn page_sizes(&self) -> u64 {
        self.raw().pgsize_bitmap as u64
    }

    /// Whether both domains are the work of the same driver, in the same format.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        core::ptr::eq(self.raw().ops, other.raw().ops)
    }

    /// Has the IOMMU make all DMA snoop the caches; false when it cannot.
    pub(crate) fn enforce_coherency(&self) -> bool {
        match self.ops().enforce_cache_coherency {
            // SAFETY: The operation belongs to this domain.
            Some(enforce) => unsafe { enforce(self.domain().as_raw()) },
            None => false,
        }
    }

    /// Where interrupt messages of devices are written, on machines whose IOMMU translates them.
    pub(crate) fn set_msi_window(&self, base: u64) -> Result {
        to_result(c::iommu_get_msi_cookie(self.domain(), base))
    }

    /// Translates `extent.len` bytes from `iova` on to `extent`.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver, nothing is translated then.
    #[inline]
    pub(crate) fn map(&self, iova: u64, extent: Extent, access: Access) -> Result {
        to_result(c::iommu_map(
            self.domain(),
            iova as usize,
            extent.phys,
            extent.len as usize,
            access.prot() | bindings::IOMMU_CACHE as i32,
            bindings::GFP_KERNEL_ACCOUNT,
        ))
    }

    /// Ends the translation of a range and has the hardware forget it; how many bytes that were.
    pub(crate) fn unmap(&self, iova: u64, len: u64) -> u64 {
        if len == 0 {
            // The core would have the hardware forget a range that ends before it begins.
            return 0;
        }
        c::iommu_unmap(self.domain(), iova as usize, len as usize) as u64
    }

    /// Looks up what is translated: see [`Lookup::phys`].
    pub(crate) fn lookup(&self) -> Lookup<'_> {
        Lookup {
            domain: self.domain(),
            operation: self.ops().iova_to_phys,
        }
    }
}

type IovaToPhys = unsafe extern "C" fn(*mut bindings::iommu_domain, u64) -> u64;

/// The lookup of a domain, for many of them: what the kernel's `iommu_iova_to_phys()` checks before each
/// does not change.
pub(crate) struct Lookup<'a> {
    domain: &'a AnyDomain,
    operation: Option<IovaToPhys>,
}

impl Lookup<'_> {
    /// The physical address behind `iova`; 0 where nothing is translated.
    #[inline]
    pub(crate) fn phys(&self, iova: u64) -> u64 {
        match self.operation {
            // SAFETY: The operation is that of this domain, a paging one.
            Some(operation) => unsafe { operation(self.domain.as_raw(), iova) },
            None => 0,
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Writing an IOMMU driver, and using one.
//!
//! A driver implements [`Driver`] for what concerns its hardware and the devices behind it, and
//! [`PagingDomain`] for its address spaces. [`Core`] holds the tables of C functions that are made
//! of these two, and [`Registration`] hands one unit to the IOMMU core.
//!
//! What the core guarantees, and this module passes on:
//!
//! - calls that concern the attachment of one device (`attach_*`, `release`) are serialised by the
//!   mutex of the device's group;
//! - `map`, `unmap` and `iova_to_phys` of one domain run concurrently, never for overlapping ranges;
//! - a domain outlives its attachments, and no call for it is in flight when it is dropped.
//!
//! C header: [`include/linux/iommu.h`](srctree/include/linux/iommu.h)

mod core_ops;
mod domain;
mod fault;
mod gather;
mod group;
mod owned;
mod pages;
mod pasid;
mod resv;
mod sysfs;
mod unit;

pub use core_ops::{Core, Slot};
pub use domain::{Domain, Geometry};
pub use fault::{DmaFault, FaultAccess, Listener, RawDmaFault, Subscription};
pub use gather::{Gather, GatheredPages};
pub use group::Group;
pub use owned::OwnedDomain;
pub use pages::{Gfp, IommuPages, TablePages};
pub use pasid::{AnyDomain, DomainKey, GlobalPasid, PasidAttachment, Translated};
pub use resv::{ReservedKind, ReservedRegions};
pub use sysfs::Attribute;
pub use unit::{Registration, Unit};

use crate::pci;
use kernel::prelude::*;
use kernel::sync::Arc;
use siov_iopgtable::Prot;
use siov_types::{Iova, IovaRange, Pasid, PhysAddr};

/// What [`Driver::capable`] is asked (`enum iommu_cap`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Capability {
    /// `IOMMU_CAP_CACHE_COHERENCY`: DMA can be made to snoop the CPU's caches.
    CacheCoherency,
    /// `IOMMU_CAP_NOEXEC`.
    NoExec,
    /// `IOMMU_CAP_PRE_BOOT_PROTECTION`: firmware blocked DMA until now.
    PreBootProtection,
    /// `IOMMU_CAP_ENFORCE_CACHE_COHERENCY`: no-snoop can be overridden for this device.
    EnforceCacheCoherency,
    /// `IOMMU_CAP_DEFERRED_FLUSH`: the flush queue may be used.
    DeferredFlush,
    /// `IOMMU_CAP_DIRTY_TRACKING`.
    DirtyTracking,
    /// `IOMMU_CAP_PCI_ATS_SUPPORTED`: ATS may be enabled for this device.
    AtsSupported,
}

/// Which default domain a device must have (`def_domain_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefaultDomain {
    /// Whatever the operator configured.
    Any,
    /// Pass-through only.
    Identity,
    /// Translated only.
    Dma,
}

/// The domain a device or one of its PASIDs leaves.
pub enum Old<'a, D: Driver> {
    /// None: the first attachment.
    None,
    /// Pass-through.
    Identity,
    /// No access at all.
    Blocked,
    /// An address space of this driver.
    Paging(&'a D::Paging),
}

/// A device that has a unit: the unit, and the driver's data for the device.
pub type Probed<D> = (Arc<Unit<D>>, Arc<<D as Driver>::Device>);

/// An IOMMU driver.
///
/// Where a function takes a [`Pasid`], [`Pasid::NO_PASID`] stands for requests without PASID.
pub trait Driver: Sized + Send + Sync + 'static {
    /// Data of one remapping unit.
    type Unit: Send + Sync;
    /// Data of one device behind a unit.
    type Device: Send + Sync;
    /// An address space.
    type Paging: PagingDomain<Driver = Self>;

    /// Attributes below `/sys/class/iommu/<unit>/<GROUP>/`.
    const ATTRIBUTES: &'static [Attribute<Self>] = &[];
    /// Name of the folder that holds [`Self::ATTRIBUTES`].
    const ATTRIBUTE_GROUP: &'static CStr;

    /// Where the one instance of this driver can be found: a `static` of the driver's.
    fn slot() -> &'static Slot<Self>;

    /// A device appeared: says which unit translates it and makes its data. On return its DMA is in
    /// the state in which the hardware came, blocked or pass-through.
    ///
    /// # Errors
    ///
    /// `ENODEV` for a device that no unit of this driver translates.
    fn probe(&self, dev: &pci::Device) -> Result<Probed<Self>>;

    /// The default domain is attached; PASID and ATS may be switched on.
    fn probe_finalize(_dev: &pci::Device, _state: &Self::Device) {}

    /// The device goes. It is attached to the blocked domain, or to the identity domain if its
    /// reserved regions ask for it, and will be attached to none again.
    fn release(dev: &pci::Device, state: &Arc<Self::Device>);

    /// Whether `state`'s device has `capability`.
    fn capable(state: &Self::Device, capability: Capability) -> bool;

    /// Adds the ranges of IOVA that this device may not use freely.
    fn reserved_regions(dev: &pci::Device, state: &Self::Device, list: &mut ReservedRegions<'_>);

    /// Which default domain this device needs.
    fn default_domain(_dev: &pci::Device, _state: &Self::Device) -> DefaultDomain {
        DefaultDomain::Any
    }

    /// Makes an address space that suits this device. `flags` are `IOMMU_HWPT_ALLOC_*` of
    /// `include/uapi/linux/iommufd.h`.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for a flag that is not supported.
    fn alloc_paging(state: &Self::Device, flags: u32) -> Result<Pin<KBox<Domain<Self::Paging>>>>;

    /// Lets requests of `pasid` through untranslated.
    fn attach_identity(state: &Arc<Self::Device>, pasid: Pasid, old: Old<'_, Self>) -> Result;

    /// Blocks requests of `pasid`. Must succeed.
    fn attach_blocked(state: &Arc<Self::Device>, pasid: Pasid, old: Old<'_, Self>);

    /// Translates requests of `pasid` by `domain`.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the domain does not suit the device; the old attachment is unchanged then and
    /// on every other error.
    fn attach_paging(
        domain: &Self::Paging,
        state: &Arc<Self::Device>,
        pasid: Pasid,
        old: Old<'_, Self>,
    ) -> Result;
}

/// An address space that a driver translates by page tables.
pub trait PagingDomain: Send + Sync + 'static {
    /// The driver it belongs to.
    type Driver: Driver<Paging = Self>;

    /// Maps `len` bytes at `iova` to `phys` and says how many bytes it mapped, also on error; tables
    /// that leaves have replaced go to `gather`, which the caller then passes to [`Self::sync`].
    fn map(
        &self,
        iova: Iova,
        phys: PhysAddr,
        len: u64,
        prot: Prot,
        gfp: Gfp,
        gather: &mut Gather,
    ) -> (u64, Result);

    /// Unmaps `len` bytes from `iova` on, up to the first hole, and says how many bytes it unmapped.
    /// Translations stay usable for the device until [`Self::sync`] has run for `gather`.
    fn unmap(&self, iova: Iova, len: u64, gather: &mut Gather) -> u64;

    /// The translation of `iova`.
    fn iova_to_phys(&self, iova: Iova) -> Option<PhysAddr>;

    /// Makes the hardware forget what `gather` holds; the gathered table pages are freed after it.
    fn sync(&self, gather: &Gather);

    /// Makes the hardware forget all of this domain.
    fn sync_all(&self);

    /// Whether [`Self::sync_map`] must be called after `map`, for hardware that caches non-present
    /// entries or buffers writes. Asked once, when the domain is made.
    fn needs_sync_map(&self) -> bool;

    /// Makes new mappings of `range` visible to the hardware.
    fn sync_map(&self, range: IovaRange);

    /// From now on, overrides no-snoop requests; false when the hardware cannot.
    fn enforce_cache_coherency(&self) -> bool;
}

// SPDX-License-Identifier: GPL-2.0

//! Writing an IOMMU driver.
//!
//! A driver implements [`Driver`] for what concerns its hardware and the devices of its units, and
//! [`PagingDomain`] for its address spaces. [`Core`] holds the tables of C functions that are made
//! of these two, and [`Registration`] hands one unit to the IOMMU core.
//!
//! The page tables of an address space are [`PageTables`], which only this module changes: the
//! IOMMU core's callers have each range of IOVA to themselves, and nobody else calls `map` and
//! `unmap`.
//!
//! What the core guarantees, and this module passes on:
//!
//! - calls that concern the attachment of one device (`attach_*`, `release`) are serialised by the
//!   mutex of the device's group;
//! - calls for one domain run concurrently, never for overlapping ranges;
//! - a domain outlives its attachments, and no call for it is in flight when it is dropped.

mod core_ops;
mod domain;
mod gather;
mod pages;
mod resv;
mod sysfs;
mod tables;
mod unit;

pub use core_ops::{Core, Function};
pub use domain::Domain;
pub use gather::Gather;
pub use pages::{Gfp, TableMemory, TablePages};
pub use resv::{ReservedKind, ReservedRegions};
pub use sysfs::Attribute;
pub use tables::{PageTables, Stage};
pub use unit::{Registration, Unit};

use crate::instance::Instance;
use kernel::prelude::*;
use kernel::sync::Arc;
use siov_iopgtable::Prot;
use siov_types::{IovaRange, Pasid};

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
    /// The one that the operator configured.
    Any,
    /// Pass-through only.
    Identity,
    /// Translated only.
    Dma,
}

/// The domain that a device, or one of its PASIDs, is detached from.
pub enum OldDomain<'a, D: Driver> {
    /// None: the first attachment.
    None,
    /// Pass-through.
    Identity,
    /// No access at all.
    Blocked,
    /// An address space of this driver.
    Paging(&'a D::Paging),
}

/// Code that decides which memory devices reach.
///
/// A device writes to whatever its IOMMU lets it write to, also to memory that the kernel uses for
/// something else by now. So what the kernel and this crate rely on when they free memory is a
/// promise of the IOMMU driver, which no type can check.
///
/// # Safety
///
/// As a [`Driver`], until the unit of the device is being unregistered: requests of a device,
/// without PASID and with each, reach
///
/// - no memory, after [`Driver::attach_blocked`];
/// - what the tables of the domain map, after [`Driver::attach_paging`], until the next attachment,
///   and no tables but those of the domain are walked;
/// - nothing of what the device had been attached to, after [`Driver::release`], also then.
///
/// As a [`PagingDomain`]: when [`PagingDomain::sync`] and [`PagingDomain::sync_all`] return, no
/// device reaches what has been unmapped before, and no unit walks tables that have been unlinked
/// before.
pub unsafe trait Isolates {}

/// Where C code, which brings a device and nothing else, finds the instance of a driver.
///
/// # Safety
///
/// [`Self::place`] returns the same `static` each time, and does not sleep: who calls it has
/// nothing yet that keeps the operations.
pub unsafe trait Placed: Sized + 'static {
    /// The place.
    fn place() -> &'static Instance<Self>;
}

/// A device that has a unit: the unit, and the driver's data for the device.
pub type Probed<D> = (Arc<Unit<D>>, Arc<<D as Driver>::Device>);

/// An IOMMU driver.
///
/// Where a function takes a [`Pasid`], [`Pasid::NO_PASID`] stands for requests without PASID.
pub trait Driver: Isolates + Placed + Send + Sync {
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

    /// A device appeared: says which unit translates it and makes its data. On return its DMA is in
    /// the state in which the hardware came, blocked or pass-through. The unit is registered, or
    /// the device is released again.
    ///
    /// # Errors
    ///
    /// `ENODEV` for a device that no unit of this driver translates.
    fn probe(&self, dev: &Function<'_>) -> Result<Probed<Self>>;

    /// The default domain is attached; PASID and ATS may be switched on.
    fn probe_finalize(_dev: &Function<'_>, _state: &Self::Device) {}

    /// The device goes. It is attached to the blocked domain, or to the identity domain if its
    /// reserved regions ask for it, and will be attached to none again.
    fn release(dev: &Function<'_>, state: &Arc<Self::Device>);

    /// Whether `state`'s device has `capability`.
    fn capable(state: &Self::Device, capability: Capability) -> bool;

    /// Adds the ranges of IOVA that this device may not use freely.
    fn reserved_regions(dev: &Function<'_>, state: &Self::Device, list: &mut ReservedRegions<'_>);

    /// Which default domain this device needs.
    fn default_domain(_dev: &Function<'_>, _state: &Self::Device) -> DefaultDomain {
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
    fn attach_identity(state: &Arc<Self::Device>, pasid: Pasid, old: OldDomain<'_, Self>)
        -> Result;

    /// Blocks requests of `pasid`. Must succeed.
    fn attach_blocked(state: &Arc<Self::Device>, pasid: Pasid, old: OldDomain<'_, Self>);

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
        old: OldDomain<'_, Self>,
    ) -> Result;
}

/// An address space that a driver translates by [`PageTables`].
///
/// # Examples
///
/// ```ignore
/// // SAFETY: `hardware.invalidate` waits until the unit has answered, and ...
/// unsafe impl Isolates for MyDomain {}
///
/// impl PagingDomain for MyDomain {
///     type Driver = MyDriver;
///
///     fn sync(&self, gather: &Gather) {
///         if let Some(range) = gather.range() {
///             self.hardware.invalidate(range, gather.has_tables());
///         }
///     }
///     // ...
/// }
/// ```
pub trait PagingDomain: Isolates + Send + Sync + 'static {
    /// The driver it belongs to.
    type Driver: Driver<Paging = Self>;

    /// Bits that new leaves get beside the permission that was asked for.
    fn leaf_attributes(&self) -> Prot {
        Prot::empty()
    }

    /// Invalidates what the hardware has cached of what `gather` holds; the gathered table pages
    /// are freed after it.
    fn sync(&self, gather: &Gather);

    /// Invalidates all that the hardware has cached of this domain.
    fn sync_all(&self);

    /// Whether [`Self::sync_map`] must be called for new mappings, for hardware that caches
    /// non-present entries or buffers writes. Asked once, when the domain is made.
    fn needs_sync_map(&self) -> bool;

    /// Makes new mappings of `range` visible to the hardware.
    fn sync_map(&self, range: IovaRange);

    /// From now on, overrides no-snoop requests; false when the hardware cannot.
    fn enforce_cache_coherency(&self) -> bool;
}

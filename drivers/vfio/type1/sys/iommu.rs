// SPDX-License-Identifier: GPL-2.0

//! IOMMU domains of our own (`struct iommu_domain` of type unmanaged), and devices that an IOMMU
//! translates.
//!
//! C header: `include/linux/iommu.h`

use crate::group::Group;
use core::marker::PhantomData;
use kernel::device::Device;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use linux::bindings;
use linux::iommu::{self, IommuDevice, OwnedDomain};
use linux::object::Object;
use siov_type1::run::Extent;
use siov_type1::Prot;
use siov_types::{Iova, IovaRange, PhysAddr};

const _: () = assert!(Prot::READ.raw() == bindings::IOMMU_READ);
const _: () = assert!(Prot::WRITE.raw() == bindings::IOMMU_WRITE);

/// A paging domain, freed when dropped. What is attached to it is an `Attachment`, which keeps it.
///
/// Ranges of IOVA have one user at a time, which [`Ioas`](super::ioas::Ioas) sees to.
pub(super) struct IommuDomain(OwnedDomain);

impl IommuDomain {
    /// A domain for the devices of `group`.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver; `ENODEV` for a group without devices or IOMMU.
    pub(super) fn for_group(group: &Group) -> Result<Self> {
        group.with_first_device(Self::new).ok_or(ENODEV)?
    }

    /// A domain for `device`.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver; `ENODEV` for a device that has left its group.
    pub(super) fn for_device(device: &GroupedDevice) -> Result<Self> {
        device.with(Self::new)
    }

    fn new(device: IommuDevice<'_>) -> Result<Self> {
        OwnedDomain::new(device).map(Self)
    }

    /// The domain, for C functions that attach it.
    #[inline(always)]
    pub(super) fn as_raw(&self) -> *mut bindings::iommu_domain {
        Object::<bindings::iommu_domain>::as_raw(&*self.0)
    }

    fn ops(&self) -> *const bindings::iommu_domain_ops {
        // SAFETY: The domain is valid, and its operations do not change after allocation.
        unsafe { (*self.as_raw()).ops }
    }

    /// What can be translated.
    pub(super) fn aperture(&self) -> IovaRange {
        // SAFETY: The domain is valid, and its geometry does not change after allocation.
        let geometry = unsafe { (*self.as_raw()).geometry };
        let (first, last) = (geometry.aperture_start, geometry.aperture_end);
        IovaRange::new(Iova::new(first), Iova::new(last)).unwrap_or(IovaRange::ALL)
    }

    /// Page sizes, a bit each.
    pub(super) fn page_sizes(&self) -> u64 {
        // SAFETY: The domain is valid, and its page sizes do not change after allocation.
        unsafe { (*self.as_raw()).pgsize_bitmap as u64 }
    }

    /// Whether both domains were made by the same driver, in the same format.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        core::ptr::eq(self.ops(), other.ops())
    }

    /// Makes all DMA snoop the caches; false when the IOMMU cannot.
    pub(super) fn enforce_coherency(&self) -> bool {
        // SAFETY: A paging domain has operations, which live as long as its driver.
        match unsafe { (*self.ops()).enforce_cache_coherency } {
            // SAFETY: The operation is that of this domain, which is valid.
            Some(enforce) => unsafe { enforce(self.as_raw()) },
            None => false,
        }
    }

    /// Has interrupt messages of devices translated from `window` on, on machines whose IOMMU
    /// translates them (`iommu_get_msi_cookie()`).
    ///
    /// # Errors
    ///
    /// `ENODEV` where the kernel has no such windows, `ENOMEM`, `EEXIST` for a second one.
    ///
    /// # Safety
    ///
    /// Nothing else is mapped in the window, as long as the domain lives.
    pub(super) unsafe fn set_msi_window(&self, window: Iova) -> Result {
        // SAFETY: The domain is valid, and the window free, as required of us.
        to_result(unsafe { bindings::iommu_get_msi_cookie(self.as_raw(), window.raw()) })
    }

    /// Translates `extent.len` bytes from `iova` on to `extent`.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver; nothing is translated then.
    ///
    /// # Safety
    ///
    /// Devices may access the memory until it is unmapped, as far as `prot` permits: until then the
    /// frames of `extent` are pinned. The caller is the only user of the range.
    #[inline]
    pub(super) unsafe fn map(&self, iova: Iova, extent: Extent, prot: Prot) -> Result {
        // SAFETY: As required of us.
        unsafe { self.map_with(iova, extent, prot, bindings::GFP_KERNEL_ACCOUNT) }
    }

    /// As [`Self::map`], but takes memory for the tables only where there is some: it waits for
    /// none.
    ///
    /// # Errors
    ///
    /// As of [`Self::map`].
    ///
    /// # Safety
    ///
    /// As of [`Self::map`], but the frames may also be no memory. Then devices may access what they
    /// are until they are unmapped.
    pub(super) unsafe fn map_nowait(&self, iova: Iova, extent: Extent, prot: Prot) -> Result {
        const ACCOUNT: bindings::gfp_t = bindings::GFP_KERNEL_ACCOUNT & !bindings::GFP_KERNEL;
        let gfp = bindings::GFP_NOWAIT | bindings::__GFP_NOWARN | ACCOUNT;
        // SAFETY: As required of us.
        unsafe { self.map_with(iova, extent, prot, gfp) }
    }

    /// # Safety
    ///
    /// As of [`Self::map_nowait`].
    #[inline(always)]
    unsafe fn map_with(
        &self,
        iova: Iova,
        extent: Extent,
        prot: Prot,
        gfp: bindings::gfp_t,
    ) -> Result {
        // SAFETY: The domain is valid; memory and range as required of us.
        to_result(unsafe {
            bindings::iommu_map(
                self.as_raw(),
                iova.raw() as usize,
                extent.phys.raw(),
                extent.len as usize,
                (prot.raw() | bindings::IOMMU_CACHE) as i32,
                gfp,
            )
        })
    }

    /// Ends the translation of `len` bytes from `iova` on and invalidates it in the hardware; how
    /// many bytes were translated.
    ///
    /// # Safety
    ///
    /// The caller is the only user of the range.
    #[inline]
    pub(super) unsafe fn unmap(&self, iova: Iova, len: u64) -> u64 {
        if len == 0 {
            // The core would invalidate a range that ends before it begins.
            return 0;
        }
        // SAFETY: The domain is valid, and the range the caller's, as required of us.
        let done =
            unsafe { bindings::iommu_unmap(self.as_raw(), iova.raw() as usize, len as usize) };
        done as u64
    }

    /// For [`Lookup::phys`]; `None` when the driver has no such operation.
    ///
    /// # Safety
    ///
    /// As long as it lives, no other thread uses the addresses that are looked up.
    #[inline]
    pub(super) unsafe fn lookup(&self) -> Option<Lookup<'_>> {
        Some(Lookup {
            domain: self.as_raw(),
            // SAFETY: A paging domain has operations, which live as long as its driver.
            operation: unsafe { (*self.ops()).iova_to_phys }?,
            _domain: PhantomData,
        })
    }
}

type IovaToPhys = unsafe extern "C" fn(*mut bindings::iommu_domain, u64) -> u64;

/// The lookup of a domain, for many of them: what the kernel's `iommu_iova_to_phys()` checks before
/// each does not change.
pub(super) struct Lookup<'a> {
    domain: *mut bindings::iommu_domain,
    operation: IovaToPhys,
    _domain: PhantomData<&'a IommuDomain>,
}

impl Lookup<'_> {
    /// What `iova` is translated to. Nothing is said to be translated to address 0, which is no
    /// memory of a process.
    #[inline]
    pub(super) fn phys(&self, iova: Iova) -> Option<PhysAddr> {
        // SAFETY: The operation is that of this domain, a paging one, which is valid. Nothing else
        // is done to the address meanwhile, as `lookup` demands.
        let phys = unsafe { (self.operation)(self.domain, iova.raw()) };
        (phys != 0).then(|| PhysAddr::new(phys))
    }
}

/// A device that is in an IOMMU group for now, and may leave it.
pub(super) struct GroupedDevice {
    group: ARef<iommu::Group>,
    device: ARef<Device>,
}

impl GroupedDevice {
    /// `None` for a device without a group.
    ///
    /// # Safety
    ///
    /// The device does not leave its group before this returns: it is not being removed from the
    /// system, nor given up by its IOMMU's driver.
    pub(super) unsafe fn new(device: &Device) -> Option<Self> {
        Some(Self {
            // SAFETY: As required of us.
            group: unsafe { iommu::Group::of(device) }?,
            device: device.into(),
        })
    }

    /// The device.
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// Calls `f` with the device, which keeps its IOMMU meanwhile.
    ///
    /// # Errors
    ///
    /// Those of `f`; `ENODEV` for a device that has left its group.
    pub(super) fn with<R>(&self, f: impl FnOnce(IommuDevice<'_>) -> Result<R>) -> Result<R> {
        self.group.with_device(&self.device, f).ok_or(ENODEV)?
    }

    /// Whether the unit of the device can make all its DMA snoop the caches.
    pub(super) fn can_enforce_coherency(&self) -> bool {
        let capability = bindings::iommu_cap_IOMMU_CAP_ENFORCE_CACHE_COHERENCY;
        self.with(|dev| {
            // SAFETY: The device is valid, and keeps its IOMMU until the function returns.
            Ok(unsafe { bindings::device_iommu_capable(dev.device().as_raw(), capability) })
        })
        .unwrap_or(false)
    }
}

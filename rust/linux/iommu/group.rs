// SPDX-License-Identifier: GPL-2.0

//! Groups of devices that the IOMMU cannot distinguish.

use super::IommuDevice;
use crate::bindings;
use crate::device::Driven;
use crate::object::Object;
use core::ffi::c_void;
use core::ptr::NonNull;
use kernel::device::Device;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::{ARef, AlwaysRefCounted};
use kernel::types::Opaque;

/// `struct iommu_group`.
#[repr(transparent)]
pub struct Group(Opaque<bindings::iommu_group>);

// SAFETY: A transparent `Opaque`, which the IOMMU core has initialised.
unsafe impl Object<bindings::iommu_group> for Group {}
// SAFETY: A group belongs to no thread.
unsafe impl Send for Group {}
// SAFETY: The C side locks it.
unsafe impl Sync for Group {}

// SAFETY: The C side counts references atomically.
unsafe impl AlwaysRefCounted for Group {
    fn inc_ref(&self) {
        // SAFETY: The group is valid.
        unsafe { bindings::iommu_group_ref_get(self.as_raw()) };
    }

    unsafe fn dec_ref(group: NonNull<Self>) {
        // SAFETY: The caller gives up a reference, as required of us.
        unsafe { bindings::iommu_group_put(group.cast().as_ptr()) };
    }
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Eq for Group {}

impl Group {
    /// Whether a device is in a group at this moment.
    pub fn has(dev: &Device) -> bool {
        // SAFETY: The device is valid; no reference is made.
        let group = unsafe { &raw const (*dev.as_raw()).iommu_group };
        // SAFETY: As above. C code changes the pointer as a whole, and it is only looked at.
        let group = unsafe { group.read_volatile() };
        !group.is_null()
    }

    /// That of a device, if it has one.
    pub fn of_driven<'a>(dev: impl Into<Driven<'a>>) -> Option<ARef<Self>> {
        // SAFETY: A device with a driver is not removed before the driver is unbound, and one that
        // is locked is not given up by its IOMMU's driver.
        unsafe { Self::of(dev.into().device()) }
    }

    /// That of a device, if it has one.
    ///
    /// # Safety
    ///
    /// The device does not leave its group before this returns: it is not being removed from the
    /// system, nor given up by its IOMMU's driver.
    pub unsafe fn of(dev: &Device) -> Option<ARef<Self>> {
        // SAFETY: The device is valid; as required of us.
        let group = NonNull::new(unsafe { bindings::iommu_group_get(dev.as_raw()) })?;
        // SAFETY: With a reference for us.
        Some(unsafe { ARef::from_raw(group.cast()) })
    }

    /// The number under which user space knows it.
    pub fn id(&self) -> i32 {
        // SAFETY: The group is valid.
        unsafe { bindings::iommu_group_id(self.as_raw()) }
    }

    /// Whether the interrupts of each device are isolated from those of others.
    pub fn has_isolated_interrupts(&self) -> bool {
        // SAFETY: The group is valid.
        unsafe { bindings::iommu_group_has_isolated_msi(self.as_raw()) }
    }

    /// Whether DMA ownership is claimed: by drivers that use the DMA API, or by user space.
    pub fn dma_owner_claimed(&self) -> bool {
        // SAFETY: The group is valid.
        unsafe { bindings::iommu_group_dma_owner_claimed(self.as_raw()) }
    }

    /// Calls `f` with the first device, which cannot leave the group meanwhile; `None` without
    /// devices. The group's mutex is held.
    pub fn with_first_device<R>(&self, f: impl FnOnce(IommuDevice<'_>) -> R) -> Option<R> {
        self.with_first(|_| true, f)
    }

    /// As [`Self::with_first_device`], for `wanted`; `None` when it is not in the group.
    pub fn with_device<R>(
        &self,
        wanted: &Device,
        f: impl FnOnce(IommuDevice<'_>) -> R,
    ) -> Option<R> {
        self.with_first(|dev| core::ptr::eq(dev, wanted), f)
    }

    /// Calls `f` with the first device for which `is_it` returns true.
    fn with_first<R>(
        &self,
        is_it: impl Fn(&Device) -> bool,
        f: impl FnOnce(IommuDevice<'_>) -> R,
    ) -> Option<R> {
        let (mut f, mut result) = (Some(f), None);
        let _ = self.for_each_device(|dev| {
            if !is_it(dev) {
                return Ok(());
            }
            // SAFETY: The group's mutex is held, so the device keeps its group and its IOMMU until
            // this returns.
            let dev = unsafe { IommuDevice::from_device(dev) };
            if let (Some(dev), Some(f)) = (dev, f.take()) {
                result = Some(f(dev));
            }
            // No further ones.
            Err(EEXIST)
        });
        result
    }

    /// The devices of the group.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn devices(&self) -> Result<KVec<ARef<Device>>> {
        let mut list = KVec::new();
        self.for_each_device(|dev| Ok(list.push(dev.into(), GFP_KERNEL)?))?;
        Ok(list)
    }

    /// Calls `f` for each device until it fails, with the group's mutex held.
    fn for_each_device<F: FnMut(&Device) -> Result>(&self, mut f: F) -> Result {
        /// # Safety
        ///
        /// `dev` is valid, and `f` an `F` that nobody else uses.
        unsafe extern "C" fn call<F: FnMut(&Device) -> Result>(
            dev: *mut bindings::device,
            f: *mut c_void,
        ) -> i32 {
            // SAFETY: As required of us.
            let f = unsafe { &mut *f.cast::<F>() };
            // SAFETY: As required of us.
            let dev = unsafe { Device::from_raw(dev) };
            f(dev).map_or_else(Error::to_errno, |()| 0)
        }
        let data = (&raw mut f).cast();
        // SAFETY: The group is valid; `call` gets devices that exist, and `f`.
        to_result(unsafe {
            bindings::iommu_group_for_each_dev(self.as_raw(), data, Some(call::<F>))
        })
    }
}

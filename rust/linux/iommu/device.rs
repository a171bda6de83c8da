// SPDX-License-Identifier: GPL-2.0

//! Devices whose requests an IOMMU translates.

use crate::bindings;
use crate::device::Driven;
use crate::object::Object;
use kernel::device::Device;
use kernel::error::from_err_ptr;

/// A device whose requests an IOMMU sees.
///
/// # Invariants
///
/// The device has `struct dev_iommu` and an IOMMU group, and keeps them for `'a`: it is not removed
/// from the system meanwhile.
#[derive(Clone, Copy)]
pub struct IommuDevice<'a>(&'a Device);

impl<'a> IommuDevice<'a> {
    /// The device, if it has an IOMMU. A device with a driver is not removed before the driver is
    /// unbound, and one that is locked is not given up by its IOMMU's driver.
    pub fn new(dev: impl Into<Driven<'a>>) -> Option<Self> {
        // SAFETY: The device has a driver, and is locked.
        unsafe { Self::from_device(dev.into().device()) }
    }

    /// As [`Self::new`], for a device that may not have a driver.
    ///
    /// # Safety
    ///
    /// The device is not removed from the system for `'a`, nor given up by its IOMMU's driver.
    pub unsafe fn from_device(dev: &'a Device) -> Option<Self> {
        let raw = dev.as_raw();
        // SAFETY: The device is valid; only the pointer is looked at.
        let has_group = unsafe { !(*raw).iommu_group.is_null() };
        // SAFETY: As above.
        let has_iommu = unsafe { !(*raw).iommu.is_null() };
        // INVARIANT: As required of us.
        (has_group && has_iommu).then_some(Self(dev))
    }

    /// The device.
    pub fn device(self) -> &'a Device {
        self.0
    }

    /// Valid for `'a`.
    fn iommu(self) -> *mut bindings::dev_iommu {
        // SAFETY: By the invariant.
        unsafe { (*self.0.as_raw()).iommu }
    }

    /// One more than the greatest PASID that both the device and its IOMMU have; 0 without PASIDs.
    pub fn max_pasids(self) -> u32 {
        // SAFETY: The field is set before the device has a group.
        unsafe { (*self.iommu()).max_pasids }
    }

    /// Whether domains can be attached to the device's PASIDs.
    ///
    /// `iommu_attach_device_pasid()` must not be asked: it succeeds, and does nothing, for a device
    /// that has none.
    pub fn has_pasid_domains(self) -> bool {
        self.max_pasids() > 1 && self.detaches_pasids() && self.makes_pasid_domains()
    }

    /// Whether the device keeps its IOMMU until its driver is unbound, and not only for `'a`. Not
    /// so if the driver was bound before the device had an IOMMU, or does without the DMA API and
    /// has not given the device to anybody. Takes the group's mutex.
    pub fn stays_with_driver(self) -> bool {
        // SAFETY: By the invariant there is a group, and it stays for `'a`.
        let group = unsafe { (*self.0.as_raw()).iommu_group };
        // SAFETY: As above.
        unsafe { bindings::iommu_group_dma_owner_claimed(group) }
    }

    /// The operations of the device's IOMMU. They are valid for `'a`.
    fn ops(self) -> *const bindings::iommu_ops {
        // SAFETY: The field is set before the device has a group.
        let unit = unsafe { (*self.iommu()).iommu_dev };
        // SAFETY: The unit of a device stays as long as the device has an IOMMU, and operations as
        // long as their unit is registered.
        unsafe { (*unit).ops }.cast()
    }

    /// The module of the operations, to which the core has a reference for `'a`; null for code of
    /// the kernel itself.
    pub(super) fn ops_module(self) -> *mut bindings::module {
        // SAFETY: The operations are valid, and the field does not change.
        unsafe { (*self.ops()).owner }
    }

    /// The core detaches a PASID by attaching the blocked domain.
    fn detaches_pasids(self) -> bool {
        // SAFETY: The operations are valid, and the field does not change.
        let blocked = unsafe { (*self.ops()).blocked_domain };
        if blocked.is_null() {
            return false;
        }
        // SAFETY: A static domain stays as long as the operations that name it.
        let ops = unsafe { (*blocked).ops };
        // SAFETY: The operations of a domain stay as long as the domain.
        unsafe { (*ops).set_dev_pasid.is_some() }
    }

    /// Drivers give each domain its operations when they make it, so one is made and looked at.
    fn makes_pasid_domains(self) -> bool {
        super::OwnedDomain::new(self).is_ok_and(|domain| domain.takes_pasids())
    }

    /// Allocates a paging domain that suits the device.
    pub(super) fn alloc_domain(self) -> kernel::error::Result<*mut bindings::iommu_domain> {
        // SAFETY: The device has an IOMMU, by the invariant.
        from_err_ptr(unsafe { bindings::iommu_paging_domain_alloc_flags(self.0.as_raw(), 0) })
    }
}

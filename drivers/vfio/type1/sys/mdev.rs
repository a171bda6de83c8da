// SPDX-License-Identifier: GPL-2.0

//! Mediated devices whose DMA an IOMMU isolates: functions of mdev.ko and iommu_aux.ko, looked up
//! when a group is attached, so that neither module has to be there.
//!
//! C headers: `include/linux/mdev.h`, `include/linux/iommu-aux.h`

use super::endpoint::{NewEndpoint, NewGroup};
use super::iommu::{GroupedDevice, IommuDomain};
use core::ffi::c_int;
use core::ptr::NonNull;
use kernel::device::Device;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use linux::bindings;
use linux::object::Object;

linux::imports! {
    struct GetDomainType = fn mdev_get_domain_type(*mut bindings::device) -> c_int;
    struct ParentDevice = fn mdev_parent_device(*mut bindings::device) -> *mut bindings::device;
    struct SetDomain = fn mdev_set_iommu_domain(*mut bindings::device, *mut bindings::iommu_domain);
    struct AttachDevice = fn iommu_aux_attach_device(
        *mut bindings::iommu_domain,
        *mut bindings::device,
    ) -> c_int;
    struct DetachDevice = fn iommu_aux_detach_device(
        *mut bindings::iommu_domain,
        *mut bindings::device,
    );
    struct Binding = fn iommu_aux_binding(*mut bindings::device) -> u64;
}

/// mdev.ko, while this lives.
struct Mdev {
    domain_type: GetDomainType,
    parent_device: ParentDevice,
    set_domain: SetDomain,
}

impl Mdev {
    /// `None` when it is not loaded, or is one without domain types.
    fn get() -> Option<Self> {
        Some(Self {
            domain_type: GetDomainType::get()?,
            parent_device: ParentDevice::get()?,
            set_domain: SetDomain::get()?,
        })
    }

    /// The parent of a mediated device of the type "attach-parent", whose DMA carries a PASID of
    /// it.
    fn attach_parent<'a>(&self, dev: &'a Device) -> Option<&'a Device> {
        // SAFETY: Any valid device.
        let ty = unsafe { self.domain_type.function()(dev.as_raw()) };
        if ty != bindings::mdev_domain_type_DOMAIN_TYPE_ATTACH_PARENT.0 as c_int {
            return None;
        }
        // SAFETY: Any valid device.
        let parent = unsafe { self.parent_device.function()(dev.as_raw()) };
        // SAFETY: A parent lives as long as the mediated device; a device is at the address of its
        // structure.
        NonNull::new(parent).map(|parent| unsafe { parent.cast().as_ref() })
    }
}

/// The attaching of domains to PASIDs, by iommu_aux.ko, which stays while this lives.
struct AuxiliaryDomains {
    attach: AttachDevice,
    detach: DetachDevice,
    binding: Binding,
}

impl AuxiliaryDomains {
    /// `None` when iommu_aux.ko is not loaded.
    fn get() -> Option<Self> {
        Some(Self {
            attach: AttachDevice::get()?,
            detach: DetachDevice::get()?,
            binding: Binding::get()?,
        })
    }

    /// Whether a device may have auxiliary domains, and so keeps its IOMMU as long as it keeps its
    /// driver.
    fn are_enabled(&self, dev: &Device) -> bool {
        // SAFETY: Any valid device.
        unsafe { self.binding.function()(dev.as_raw()) != 0 }
    }
}

/// The devices of a group that VFIO is attaching, and mdev.ko, which knows what they are.
pub(crate) struct Children<'call> {
    devices: KVec<ARef<Device>>,
    mdev: Mdev,
    group: NewGroup<'call>,
}

impl<'call> Children<'call> {
    /// Those of `group`; `None` when mdev.ko is not loaded.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn of(group: NewGroup<'call>) -> Result<Option<Self>> {
        let Some(mdev) = Mdev::get() else {
            return Ok(None);
        };
        Ok(Some(Self {
            devices: group.get().devices()?,
            mdev,
            group,
        }))
    }

    /// The parent whose PASIDs their DMA carries: `None` if it carries none.
    ///
    /// # Errors
    ///
    /// The first device of which something else is true than of those before.
    pub(crate) fn parent(&self) -> Result<Option<&Device>, &Device> {
        let mut parents = self
            .devices
            .iter()
            .map(|dev| (dev, self.mdev.attach_parent(dev)));
        let Some((_, parent)) = parents.next() else {
            return Ok(None);
        };
        let address = |parent: Option<&Device>| parent.map(core::ptr::from_ref);
        match parents.find(|(_, other)| address(*other) != address(parent)) {
            Some((dev, _)) => Err(dev),
            None => Ok(parent),
        }
    }

    /// Where their DMA enters a domain: by a PASID of the parent. `None` when iommu_aux.ko is not
    /// loaded.
    ///
    /// # Errors
    ///
    /// `ENODEV` when there is no one parent, or it has no auxiliary domains; `ENOMEM`.
    pub(crate) fn into_endpoint(self) -> Result<Option<NewEndpoint<'call>>> {
        let Some(auxiliary) = AuxiliaryDomains::get() else {
            return Ok(None);
        };
        let device = self.parent().ok().flatten().ok_or(ENODEV)?;
        if !auxiliary.are_enabled(device) {
            return Err(ENODEV);
        }
        // SAFETY: One of the devices has a driver until the call returns. A parent is not removed,
        // nor its driver unbound, before its mediated devices are removed, and it keeps its IOMMU
        // as long as that driver, as was just checked.
        let device = unsafe { GroupedDevice::new(device) }.ok_or(ENODEV)?;
        let parent = Parent {
            device,
            children: self.devices,
            mdev: self.mdev,
            auxiliary,
        };
        NewEndpoint::with_parent(self.group, Some(parent)).map(Some)
    }
}

/// The parent of mediated devices, and those of them that are in one group.
pub(super) struct Parent {
    device: GroupedDevice,
    children: KVec<ARef<Device>>,
    mdev: Mdev,
    auxiliary: AuxiliaryDomains,
}

impl Parent {
    /// The parent.
    pub(super) fn device(&self) -> &GroupedDevice {
        &self.device
    }

    /// Attaches `domain` to a PASID of the parent.
    ///
    /// # Errors
    ///
    /// Those of iommu_aux.ko; nothing is attached then.
    ///
    /// # Safety
    ///
    /// The domain is detached before it is freed.
    pub(super) unsafe fn attach(&self, domain: &IommuDomain) -> Result {
        let attach = self.auxiliary.attach.function();
        // SAFETY: The device is valid, and so is the domain, until it is detached.
        to_result(unsafe { attach(domain.as_raw(), self.device.device().as_raw()) })
    }

    /// Undoes [`Self::attach`].
    pub(super) fn detach(&self, domain: &IommuDomain) {
        let detach = self.auxiliary.detach.function();
        // SAFETY: Device and domain are valid. Where the domain is not attached, nothing happens.
        unsafe { detach(domain.as_raw(), self.device.device().as_raw()) };
    }

    /// Sets the domain that drivers of the children find.
    ///
    /// # Safety
    ///
    /// `domain` is NULL, or valid until another is set.
    pub(super) unsafe fn set_domain(&self, domain: *mut bindings::iommu_domain) {
        for child in &self.children {
            // SAFETY: Any valid device; the domain as required of us.
            unsafe { self.mdev.set_domain.function()(child.as_raw(), domain) };
        }
    }
}

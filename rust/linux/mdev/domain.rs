// SPDX-License-Identifier: GPL-2.0

//! Who isolates the DMA of mediated devices, and by which domain.

use kernel::prelude::*;
use linux::bindings;
use linux::iommu::AnyDomain;
use linux::object::Object;
use linux_vfio::device::Handle;

/// Who isolates the DMA of a mediated device (`enum mdev_domain_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DomainType {
    /// The parent's driver.
    NoIommu,
    /// The IOMMU, by a domain that is attached to the parent in auxiliary mode.
    AttachParent,
}

impl DomainType {
    pub(crate) fn raw(self) -> bindings::mdev_domain_type {
        match self {
            Self::NoIommu => bindings::mdev_domain_type_DOMAIN_TYPE_NO_IOMMU,
            Self::AttachParent => bindings::mdev_domain_type_DOMAIN_TYPE_ATTACH_PARENT,
        }
    }

    pub(crate) fn from_raw(raw: kernel::ffi::c_int) -> Self {
        if raw == bindings::mdev_domain_type_DOMAIN_TYPE_ATTACH_PARENT.0 as i32 {
            Self::AttachParent
        } else {
            Self::NoIommu
        }
    }
}

/// The domain that translates the requests of a mediated device that is open.
///
/// # Errors
///
/// `ENODEV` when there is none: the device is not [`DomainType::AttachParent`], or the driver of
/// its VFIO container knows nothing of domain types.
pub fn iommu_domain<'a>(user: Handle<'a>) -> Result<&'a AnyDomain> {
    // SAFETY: A valid device.
    let domain = unsafe { bindings::mdev_get_iommu_domain((**user.dev()).as_raw()) };
    // SAFETY: NULL, or what the container's driver has attached to the parent when the group of the
    // device was added to the container. It keeps that until the group is removed, which VFIO does
    // not allow while the device is open.
    unsafe { domain.cast::<AnyDomain>().as_ref() }.ok_or(ENODEV)
}

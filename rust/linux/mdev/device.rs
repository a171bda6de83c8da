// SPDX-License-Identifier: GPL-2.0

//! A mediated device as its parent's driver sees it.

use crate::c;
use kernel::device::Device;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use linux::bindings;
use linux::iommu::AnyDomain;

/// Who isolates the DMA of a mediated device (`enum mdev_domain_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DomainType {
    /// The parent's driver.
    NoIommu,
    /// The IOMMU, by a domain that is attached to the parent in auxiliary mode.
    AttachParent,
}

impl DomainType {
    fn raw(self) -> bindings::mdev_domain_type {
        match self {
            Self::NoIommu => bindings::mdev_domain_type_DOMAIN_TYPE_NO_IOMMU,
            Self::AttachParent => bindings::mdev_domain_type_DOMAIN_TYPE_ATTACH_PARENT,
        }
    }
}

/// A reference to a mediated device.
pub struct Mdev(ARef<Device>);

impl Mdev {
    pub(crate) fn of(dev: &Device) -> Self {
        Self(dev.into())
    }

    /// The device, for messages.
    pub fn dev(&self) -> &Device {
        &self.0
    }

    /// Says who isolates its DMA.
    ///
    /// # Errors
    ///
    /// `EBUSY` once it may be in use.
    pub fn set_domain_type(&self, ty: DomainType) -> Result {
        to_result(c::mdev_set_domain_type(&self.0, ty.raw()))
    }

    /// Who isolates its DMA.
    pub fn domain_type(&self) -> DomainType {
        let ty = c::mdev_get_domain_type(&self.0);
        if ty == bindings::mdev_domain_type_DOMAIN_TYPE_ATTACH_PARENT as i32 {
            DomainType::AttachParent
        } else {
            DomainType::NoIommu
        }
    }

    /// Calls `f` with the domain that translates its requests.
    ///
    /// # Errors
    ///
    /// `ENODEV` when there is none: the driver of the VFIO container knows nothing of domain types, or
    /// the device is not open.
    pub fn with_domain<R>(&self, f: impl FnOnce(&AnyDomain) -> Result<R>) -> Result<R> {
        let domain = c::mdev_get_iommu_domain(&self.0);
        // SAFETY: The driver of the container keeps the domain while the device is open, and withdraws
        // it before it goes; `AnyDomain` is transparent.
        let domain: Option<&AnyDomain> = unsafe { domain.cast::<AnyDomain>().as_ref() };
        f(domain.ok_or(ENODEV)?)
    }
}

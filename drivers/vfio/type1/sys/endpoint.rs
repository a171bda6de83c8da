// SPDX-License-Identifier: GPL-2.0

//! Where a group's DMA enters an IOMMU domain: by its own requester ids, or by a PASID of its
//! parent.

use super::iommu::IommuDomain;
use super::mdev::Parent;
use super::reserved::Reserved;
use crate::group::Group;
use core::ops::Deref;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::Arc;
use linux::callback::{Call, FromC};
use linux::object::Object;
use linux::{bindings, iommu};

/// A group whose DMA goes through an IOMMU domain.
pub(crate) struct Endpoint {
    group: Group,
    parent: Option<Parent>,
}

/// A group that VFIO is attaching: until the call returns, one of its devices has a driver of
/// VFIO's, and no kernel driver does DMA through it.
#[derive(Clone, Copy)]
pub(crate) struct NewGroup<'call>(&'call iommu::Group);

/// Of a group that VFIO passes to be attached, with a reference and as above.
impl<'call> FromC<'call, *mut bindings::iommu_group> for NewGroup<'call> {
    unsafe fn from_c(c: *mut bindings::iommu_group, call: &'call Call) -> Self {
        // SAFETY: As required of us.
        Self(unsafe { FromC::from_c(c, call) })
    }
}

impl NewGroup<'_> {
    /// The group, which may be used after the call.
    pub(crate) fn get(self) -> Group {
        self.0.into()
    }
}

/// An [`Endpoint`] that can be attached, because VFIO is attaching its group.
pub(crate) struct NewEndpoint<'call> {
    endpoint: Arc<Endpoint>,
    _group: NewGroup<'call>,
}

impl<'call> NewEndpoint<'call> {
    /// Of a group whose requests go through its own domain, or which carry a PASID of `parent`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(group: NewGroup<'call>, parent: Option<Parent>) -> Result<Self> {
        let endpoint = Endpoint {
            group: group.get(),
            parent,
        };
        Ok(Self {
            endpoint: Arc::new(endpoint, GFP_KERNEL)?,
            _group: group,
        })
    }
}

impl Deref for NewEndpoint<'_> {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Endpoint {
    /// The group.
    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    /// Whether requests carry a PASID of the parent.
    pub(crate) fn is_auxiliary(&self) -> bool {
        self.parent.is_some()
    }

    /// Whether each device's interrupts are isolated from those of others.
    ///
    /// Requests with a PASID are translated like memory also where the interrupt messages of
    /// requests without PASID are written (VT-d spec, 3.14), so that devices which attach to their
    /// parent cannot raise interrupts by DMA.
    pub(crate) fn has_isolated_interrupts(&self) -> bool {
        self.is_auxiliary() || self.group.has_isolated_interrupts()
    }

    /// Whether requests can be made to snoop caches, whatever the device asks for.
    ///
    /// A domain answers that by the devices that are attached to it as a whole. The C driver for
    /// VT-d does not look at PASIDs: a domain with nothing else promises what the unit cannot do,
    /// and is refused by every further unit then. So the parent's unit is asked.
    pub(super) fn can_enforce_coherency(&self) -> bool {
        match &self.parent {
            Some(parent) => parent.device().can_enforce_coherency(),
            None => true,
        }
    }

    /// Addresses that the device that does the DMA cannot use.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENODEV`.
    pub(crate) fn reserved(&self) -> Result<Reserved> {
        match &self.parent {
            Some(parent) => Reserved::of_device(parent.device()),
            None => Reserved::of_group(&self.group),
        }
    }

    /// A new domain for the device that does the DMA.
    ///
    /// # Errors
    ///
    /// Those of the IOMMU driver, `ENODEV`.
    pub(super) fn new_domain(&self) -> Result<IommuDomain> {
        match &self.parent {
            Some(parent) => IommuDomain::for_device(parent.device()),
            None => IommuDomain::for_group(&self.group),
        }
    }
}

/// A group attached to a domain, detached when dropped. Both stay until then.
pub(super) struct Attachment {
    endpoint: Arc<Endpoint>,
    domain: Arc<IommuDomain>,
}

impl Attachment {
    /// # Errors
    ///
    /// Those of the IOMMU core and drivers, `EBUSY` when the group has another owner.
    pub(super) fn new(endpoint: &NewEndpoint<'_>, domain: Arc<IommuDomain>) -> Result<Self> {
        let endpoint = endpoint.endpoint.clone();
        match &endpoint.parent {
            // SAFETY: Detached when what is made here is dropped, which keeps the domain.
            Some(parent) => unsafe { parent.attach(&domain) }?,
            None => {
                let group = endpoint.group.as_raw();
                // SAFETY: Both are valid, and the domain is so until it is detached, as above. The
                // group has a device, as VFIO is attaching it.
                to_result(unsafe { bindings::iommu_attach_group(domain.as_raw(), group) })?;
            }
        }
        Ok(Self { endpoint, domain })
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        match &self.endpoint.parent {
            Some(parent) => parent.detach(&self.domain),
            None => {
                let group = self.endpoint.group.as_raw();
                // SAFETY: Both are valid, and attached in `new`.
                unsafe { bindings::iommu_detach_group(self.domain.as_raw(), group) };
            }
        }
    }
}

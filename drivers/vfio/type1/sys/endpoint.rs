// SPDX-License-Identifier: GPL-2.0

//! Where a group's DMA enters an IOMMU domain: by its own requester ids, or by a PASID of its
//! parent.
//!
//! Drivers of mediated devices find the domain that translates a PASID of the parent
//! (`mdev_get_iommu_domain()`), and may use it while the device is open: until VFIO detaches the
//! group, whatever the container does with the domain. So [`Published`] keeps it.

use super::iommu::IommuDomain;
use super::mdev::Parent;
use super::reserved::Reserved;
use crate::group::Group;
use core::cell::Cell;
use core::ops::Deref;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};
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
pub(super) struct Attaching<'call> {
    group: &'call iommu::Group,
    /// What a PASID of the group's parent was attached to last in this call.
    auxiliary: Cell<Option<Auxiliary>>,
}

/// Of a group that VFIO passes to be attached, with a reference and as above.
impl<'call> FromC<'call, *mut bindings::iommu_group> for Attaching<'call> {
    unsafe fn from_c(c: *mut bindings::iommu_group, call: &'call Call) -> Self {
        Self {
            // SAFETY: As required of us.
            group: unsafe { FromC::from_c(c, call) },
            auxiliary: Cell::new(None),
        }
    }
}

impl Attaching<'_> {
    /// The group, for safe code.
    pub(super) fn group(&self) -> NewGroup<'_> {
        NewGroup(self)
    }

    /// Lets drivers of the group find the domain, if its requests carry a PASID.
    pub(super) fn publish(self) -> Option<Published> {
        self.auxiliary.take().map(Published::new)
    }
}

/// A group that VFIO is attaching.
#[derive(Clone, Copy)]
pub(crate) struct NewGroup<'call>(&'call Attaching<'call>);

impl NewGroup<'_> {
    /// The group, which may be used after the call.
    pub(crate) fn get(self) -> Group {
        self.0.group.into()
    }
}

/// An [`Endpoint`] that can be attached, because VFIO is attaching its group.
pub(crate) struct NewEndpoint<'call> {
    endpoint: Arc<Endpoint>,
    group: NewGroup<'call>,
}

impl<'call> NewEndpoint<'call> {
    /// Of a group whose requests go through its own domain.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(group: NewGroup<'call>) -> Result<Self> {
        Self::with_parent(group, None)
    }

    /// Of a group whose requests carry a PASID of `parent`, if there is one.
    pub(super) fn with_parent(group: NewGroup<'call>, parent: Option<Parent>) -> Result<Self> {
        let endpoint = Endpoint {
            group: group.get(),
            parent,
        };
        Ok(Self {
            endpoint: Arc::new(endpoint, GFP_KERNEL)?,
            group,
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

/// A domain for the requests of a group that carry a PASID.
struct Auxiliary {
    endpoint: Arc<Endpoint>,
    domain: Arc<IommuDomain>,
}

/// A domain that drivers of a group's mediated devices find, until this is dropped.
pub(super) struct Published(Auxiliary);

impl Published {
    fn new(auxiliary: Auxiliary) -> Self {
        let this = Self(auxiliary);
        if let Some(parent) = &this.0.endpoint.parent {
            // SAFETY: `drop` sets another before the domain is freed.
            unsafe { parent.set_domain(this.0.domain.as_raw()) };
        }
        this
    }

    fn group(&self) -> &Group {
        self.0.endpoint.group()
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        if let Some(parent) = &self.0.endpoint.parent {
            // SAFETY: No domain at all.
            unsafe { parent.set_domain(core::ptr::null_mut()) };
        }
    }
}

/// What is published of the groups in a container, as VFIO attaches and detaches them.
#[pin_data]
pub(super) struct Groups {
    #[pin]
    published: Mutex<KVec<Published>>,
}

impl Groups {
    /// Of an empty container.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            published <- new_mutex!(KVec::new(), "vfio_iommu_type1 groups"),
        })
    }

    /// Makes room for [`Self::add`] of one group. Groups are attached one by one.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn reserve(&self) -> Result {
        Ok(self.published.lock().reserve(1, GFP_KERNEL)?)
    }

    /// Keeps what was published, until [`Self::remove`].
    ///
    /// # Errors
    ///
    /// `ENOMEM` without room.
    pub(super) fn add(&self, new: Published) -> Result {
        let mut published = self.published.lock();
        published.push_within_capacity(new).map_err(|_| ENOMEM)
    }

    /// Drops what was published of `group`, whose devices are closed.
    pub(super) fn remove(&self, group: &iommu::Group) {
        let mut published = self.published.lock();
        published.retain(|known| **known.group() != *group);
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
    pub(super) fn new(new: &NewEndpoint<'_>, domain: Arc<IommuDomain>) -> Result<Self> {
        let endpoint = new.endpoint.clone();
        match &endpoint.parent {
            Some(parent) => {
                // SAFETY: Detached when what is made here is dropped, which keeps the domain.
                unsafe { parent.attach(&domain) }?;
                new.group.0.auxiliary.set(Some(Auxiliary {
                    endpoint: endpoint.clone(),
                    domain: domain.clone(),
                }));
            }
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

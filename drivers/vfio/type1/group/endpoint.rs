// SPDX-License-Identifier: GPL-2.0

//! Where a group's DMA enters an IOMMU domain: by its own requester ids, or by a PASID of its parent.

use crate::group::parent::{self, Kind, Parent};
use crate::group::Group;
use crate::sys::c;
use crate::sys::reserved::Reserved;
use crate::sys::table::Table;
use kernel::device::Device;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use linux::bindings;

/// A group whose DMA goes through an IOMMU domain.
pub(crate) struct Endpoint {
    group: Group,
    parent: Option<Parent>,
}

/// What a group of emulated devices turns out to be.
pub(crate) enum Emulated {
    /// No DMA of its own: its parent driver pins pages and moves data.
    NoIommu,
    /// DMA with a PASID of the parent.
    Endpoint(Arc<Endpoint>),
    /// Devices that cannot share a domain; one of those that differ.
    Mixed(ARef<Device>),
    /// Auxiliary domains are wanted for this parent, and iommu_aux.ko is not there.
    NoAuxiliaryDomains(ARef<Device>),
}

impl Endpoint {
    /// Of a group that has an IOMMU.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn of_group(group: Group) -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                group,
                parent: None,
            },
            GFP_KERNEL,
        )?)
    }

    /// Looks what the devices of an emulated group are.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn of_emulated(group: Group) -> Result<Emulated> {
        Ok(match parent::classify(&group)? {
            Kind::Emulated => Emulated::NoIommu,
            Kind::Mixed(device) => Emulated::Mixed(device),
            Kind::NoAuxiliaryDomains(device) => Emulated::NoAuxiliaryDomains(device),
            Kind::AttachParent(parent) => Emulated::Endpoint(Arc::new(
                Self {
                    group,
                    parent: Some(parent),
                },
                GFP_KERNEL,
            )?),
        })
    }

    /// The group.
    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    /// Whether requests carry a PASID of the parent.
    pub(crate) fn is_auxiliary(&self) -> bool {
        self.parent.is_some()
    }

    /// Whether devices' interrupts are kept apart.
    ///
    /// Requests with a PASID are translated like memory also where the interrupt messages of requests
    /// without PASID are written (VT-d spec, 3.14), so that devices which attach to their parent cannot
    /// raise interrupts by DMA.
    pub(crate) fn has_isolated_interrupts(&self) -> bool {
        self.is_auxiliary() || self.group.has_isolated_interrupts()
    }

    /// Whether requests can be made to snoop caches, whatever the device asks for.
    ///
    /// A domain answers that by the devices that are attached to it as a whole. The C driver for VT-d does not
    /// look at PASIDs: a domain with nothing else promises what the unit cannot do, and is refused by every
    /// further unit then. So the parent's unit is asked.
    pub(crate) fn can_enforce_coherency(&self) -> bool {
        let capability = bindings::iommu_cap_IOMMU_CAP_ENFORCE_CACHE_COHERENCY;
        match &self.parent {
            Some(parent) => c::device_iommu_capable(parent.device(), capability),
            None => true,
        }
    }

    /// What the device that does the DMA cannot use.
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
    pub(crate) fn new_table(&self) -> Result<Table> {
        match &self.parent {
            Some(parent) => Table::new(
                // SAFETY: A parent is not removed while it has mediated devices.
                unsafe { linux::iommu::IommuDevice::from_device(parent.device()) }.ok_or(ENODEV)?,
            ),
            // Its IOMMU must not go while the domain is made.
            None => self.group.with_first_device(Table::new).ok_or(ENODEV)?,
        }
    }
}

/// A group attached to a domain, detached when dropped.
pub(crate) struct Attachment {
    endpoint: Arc<Endpoint>,
    table: Arc<Table>,
}

impl Attachment {
    /// # Errors
    ///
    /// Those of the IOMMU core and drivers, `EBUSY` when the group has another owner.
    pub(crate) fn new(endpoint: Arc<Endpoint>, table: Arc<Table>) -> Result<Self> {
        match &endpoint.parent {
            Some(parent) => parent.attach(&table)?,
            None => to_result(c::iommu_attach_group(table.domain(), &endpoint.group))?,
        }
        Ok(Self { endpoint, table })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        match &self.endpoint.parent {
            Some(parent) => parent.detach(&self.table),
            None => c::iommu_detach_group(self.table.domain(), &self.endpoint.group),
        }
    }
}

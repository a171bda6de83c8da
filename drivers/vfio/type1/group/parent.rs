// SPDX-License-Identifier: GPL-2.0

//! Mediated devices whose DMA an IOMMU isolates: what mdev.ko and iommu_aux.ko say and do, looked up
//! when a group is attached, so that neither has to be there.

use crate::group::Group;
use crate::sys::table::Table;
use kernel::device::Device;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use linux::iommu::AnyDomain;

/// `mdev_get_domain_type()` for a device that does its DMA through its parent's domain.
const ATTACH_PARENT: i32 = 1;

// SAFETY: mdev.ko and iommu_aux.ko export these functions with these types. They want devices that exist,
// and a domain that is there until it is taken away, or detached; a parent lives as long as its child.
linux::symbol_functions!(unsafe {
    struct DomainType = fn mdev_get_domain_type(dev: &Device) -> i32;
    struct ParentDevice = fn mdev_parent_device<'a>(dev: &'a Device) -> Option<&'a Device>;
    struct SetDomain = fn mdev_set_iommu_domain(dev: &Device, domain: Option<&AnyDomain>);
    struct AuxAttach = fn iommu_aux_attach_device(domain: &AnyDomain, dev: &Device) -> i32;
    struct AuxDetach = fn iommu_aux_detach_device(domain: &AnyDomain, dev: &Device);
});

/// What the devices of an emulated group are.
pub(crate) enum Kind {
    /// Their parent driver asks for each page and does the DMA itself.
    Emulated,
    /// Their DMA carries a PASID of the parent device.
    AttachParent(Parent),
    /// Some of each, or of several parents: the first device that differs.
    Mixed(ARef<Device>),
    /// They need iommu_aux.ko, which is not loaded.
    NoAuxiliaryDomains(ARef<Device>),
}

/// The parent of a group of mediated devices.
pub(crate) struct Parent {
    device: ARef<Device>,
    children: KVec<ARef<Device>>,
    set_domain: SetDomain,
    attach: AuxAttach,
    detach: AuxDetach,
}

/// Asks mdev.ko about the devices of `group`.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn classify(group: &Group) -> Result<Kind> {
    let symbols = (DomainType::get(), ParentDevice::get(), SetDomain::get());
    let (Some(domain_type), Some(parent_of), Some(set_domain)) = symbols else {
        return Ok(Kind::Emulated);
    };

    let children = group.devices()?;
    let mut parent: Option<&Device> = None;
    let mut emulated = false;
    for child in &children {
        let attached = domain_type.call(child) == ATTACH_PARENT;
        let Some(candidate) = parent_of.call(child).filter(|_| attached) else {
            emulated = true;
            if parent.is_some() {
                return Ok(Kind::Mixed(child.clone()));
            }
            continue;
        };
        match parent {
            _ if emulated => return Ok(Kind::Mixed(child.clone())),
            Some(known) if !core::ptr::eq(known, candidate) => {
                return Ok(Kind::Mixed(child.clone()))
            }
            _ => parent = Some(candidate),
        }
    }
    let Some(device) = parent.map(ARef::from) else {
        return Ok(Kind::Emulated);
    };

    let (Some(attach), Some(detach)) = (AuxAttach::get(), AuxDetach::get()) else {
        return Ok(Kind::NoAuxiliaryDomains(device));
    };
    Ok(Kind::AttachParent(Parent {
        device,
        children,
        set_domain,
        attach,
        detach,
    }))
}

impl Parent {
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Attaches `table` to the parent beside its own domain, and has the children know it.
    ///
    /// # Errors
    ///
    /// Those of iommu_aux.ko; nothing is attached then.
    pub(crate) fn attach(&self, table: &Table) -> Result {
        to_result(self.attach.call(table.domain(), &self.device))?;
        self.tell(Some(table.domain()));
        Ok(())
    }

    /// Undoes [`Self::attach`].
    pub(crate) fn detach(&self, table: &Table) {
        self.tell(None);
        self.detach.call(table.domain(), &self.device);
    }

    fn tell(&self, domain: Option<&AnyDomain>) {
        for child in &self.children {
            self.set_domain.call(child, domain);
        }
    }
}

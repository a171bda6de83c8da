// SPDX-License-Identifier: GPL-2.0

//! Mediated devices whose DMA an IOMMU isolates: what mdev.ko and iommu_aux.ko say and do, looked up
//! when a group is attached, so that neither has to be there.

use crate::group::Group;
use crate::table::Table;
use core::ffi::c_void;
use core::ptr::NonNull;
use kernel::device::Device;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::str::CStr;
use kernel::sync::aref::ARef;
use linux::bindings;
use linux::raw::device as raw_device;
use linux::symbol::Symbol;

/// `mdev_get_domain_type()` for a device that does its DMA through its parent's domain.
const ATTACH_PARENT: i32 = 1;

type DomainType = unsafe extern "C" fn(*mut bindings::device) -> i32;
type ParentDevice = unsafe extern "C" fn(*mut bindings::device) -> *mut bindings::device;
type SetDomain = unsafe extern "C" fn(*mut bindings::device, *mut bindings::iommu_domain) -> i32;
type AuxAttach = unsafe extern "C" fn(*mut bindings::iommu_domain, *mut bindings::device) -> i32;
type AuxDetach = unsafe extern "C" fn(*mut bindings::iommu_domain, *mut bindings::device);

/// A function of another module, which stays loaded as long as this exists.
struct Function<F: Copy> {
    _symbol: Symbol,
    call: F,
}

impl<F: Copy> Function<F> {
    /// # Safety
    ///
    /// A symbol of this name is a function of type `F`, which is a function pointer.
    unsafe fn get(name: &'static CStr) -> Option<Self> {
        let symbol = Symbol::get(name)?;
        // SAFETY: As required of us; a function pointer is as large as a pointer.
        let call = unsafe { core::mem::transmute_copy::<NonNull<c_void>, F>(&symbol.address()) };
        Some(Self {
            _symbol: symbol,
            call,
        })
    }
}

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
    set_domain: Function<SetDomain>,
    attach: Function<AuxAttach>,
    detach: Function<AuxDetach>,
}

// SAFETY: Functions and counted references, usable from any thread.
unsafe impl Send for Parent {}
// SAFETY: As above.
unsafe impl Sync for Parent {}

/// Asks mdev.ko about the devices of `group`.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn classify(group: &Group) -> Result<Kind> {
    // SAFETY: mdev.ko exports these functions with these types.
    let symbols = unsafe {
        (
            Function::<DomainType>::get(c"mdev_get_domain_type"),
            Function::<ParentDevice>::get(c"mdev_parent_device"),
            Function::<SetDomain>::get(c"mdev_set_iommu_domain"),
        )
    };
    let (Some(domain_type), Some(parent_of), Some(set_domain)) = symbols else {
        return Ok(Kind::Emulated);
    };

    let children = group.devices()?;
    let mut parent: Option<ARef<Device>> = None;
    let mut emulated = false;
    for child in &children {
        // SAFETY: The device is valid.
        let attached = unsafe { (domain_type.call)(raw_device(child)) } == ATTACH_PARENT;
        let candidate = if attached {
            // SAFETY: The device is one of mdev.ko, which keeps its parent.
            NonNull::new(unsafe { (parent_of.call)(raw_device(child)) })
        } else {
            None
        };
        let Some(candidate) = candidate else {
            emulated = true;
            if parent.is_some() {
                return Ok(Kind::Mixed(child.clone()));
            }
            continue;
        };
        match &parent {
            _ if emulated => return Ok(Kind::Mixed(child.clone())),
            Some(known) if raw_device(known) != candidate.as_ptr() => {
                return Ok(Kind::Mixed(child.clone()))
            }
            Some(_) => {}
            // SAFETY: The parent is valid as long as its child, to which we have a reference.
            None => parent = Some(unsafe { Device::get_device(candidate.as_ptr()) }),
        }
    }
    let Some(device) = parent else {
        return Ok(Kind::Emulated);
    };

    // SAFETY: iommu_aux.ko exports these functions with these types.
    let symbols = unsafe {
        (
            Function::<AuxAttach>::get(c"iommu_aux_attach_device"),
            Function::<AuxDetach>::get(c"iommu_aux_detach_device"),
        )
    };
    let (Some(attach), Some(detach)) = symbols else {
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
    /// Those of iommu_aux.ko and mdev.ko; nothing is attached then.
    pub(crate) fn attach(&self, table: &Table) -> Result {
        // SAFETY: Domain and device are valid.
        to_result(unsafe { (self.attach.call)(table.as_ptr(), raw_device(&self.device)) })?;
        for (index, child) in self.children.iter().enumerate() {
            // SAFETY: As above; `detach` takes the domain away before it ends.
            let told = unsafe { (self.set_domain.call)(raw_device(child), table.as_ptr()) };
            if let Err(e) = to_result(told) {
                self.forget(self.children.get(..index).unwrap_or(&[]));
                // SAFETY: Attached above.
                unsafe { (self.detach.call)(table.as_ptr(), raw_device(&self.device)) };
                return Err(e);
            }
        }
        Ok(())
    }

    /// Undoes [`Self::attach`].
    pub(crate) fn detach(&self, table: *mut bindings::iommu_domain) {
        self.forget(&self.children);
        // SAFETY: Attached by `attach`; `Attachment` keeps the domain.
        unsafe { (self.detach.call)(table, raw_device(&self.device)) };
    }

    fn forget(&self, children: &[ARef<Device>]) {
        for child in children {
            // SAFETY: The device is valid.
            unsafe { (self.set_domain.call)(raw_device(child), core::ptr::null_mut()) };
        }
    }
}

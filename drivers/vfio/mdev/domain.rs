// SPDX-License-Identifier: GPL-2.0

//! Who isolates the DMA of a mediated device, and by which domain (include/linux/mdev.h).

use crate::sys::Device;
use crate::Mdev;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use kernel::ffi::{c_int, c_uint};
use kernel::prelude::*;
use linux::bindings;

/// `enum mdev_domain_type`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum DomainType {
    NoIommu = 0,
    AttachParent = 1,
}

impl DomainType {
    fn from_raw(raw: u32) -> Option<Self> {
        [Self::NoIommu, Self::AttachParent]
            .into_iter()
            .find(|t| *t as u32 == raw)
    }

    /// As sysfs shows it.
    pub(crate) fn name(self) -> &'static [u8] {
        match self {
            Self::NoIommu => b"no-iommu",
            Self::AttachParent => b"attach-parent",
        }
    }
}

/// What a device has beside the kernel's structure.
#[derive(Default)]
pub(crate) struct State {
    attach_parent: AtomicBool,
    domain: AtomicPtr<bindings::iommu_domain>,
}

impl State {
    pub(crate) fn domain_type(&self) -> DomainType {
        if self.attach_parent.load(Ordering::Acquire) {
            DomainType::AttachParent
        } else {
            DomainType::NoIommu
        }
    }
}

type Found<'a> = Option<&'a Device<Mdev>>;

crate::sys::export::export_device_functions! {
    crate::Mdev:
    mdev_set_domain_type(ty: c_uint) -> c_int = set_domain_type;
    mdev_get_domain_type() -> c_int = get_domain_type;
    mdev_parent_device() -> *mut bindings::device = parent_device;
    mdev_set_iommu_domain(domain: *mut bindings::iommu_domain) -> () = set_iommu_domain;
    mdev_get_iommu_domain() -> *mut bindings::iommu_domain = get_iommu_domain;
}

fn set_domain_type(mdev: Found<'_>, ty: c_uint) -> c_int {
    kernel::error::from_result(|| {
        let mdev = mdev.ok_or(ENODEV)?;
        let Some(ty) = DomainType::from_raw(ty) else {
            dev_err!(mdev.dev(), "domain type {ty} is unknown\n");
            return Err(EINVAL);
        };
        // Whoever may be using the device has seen its type: from creation on there is sysfs, and in
        // a group there is VFIO.
        if mdev.is_active() || mdev.is_in_group() {
            dev_err!(mdev.dev(), "domain type set when the device is in use\n");
            return Err(EBUSY);
        }
        let attach = ty == DomainType::AttachParent;
        mdev.state().attach_parent.store(attach, Ordering::Release);
        Ok(0)
    })
}

fn get_domain_type(mdev: Found<'_>) -> c_int {
    mdev.map_or(DomainType::NoIommu, |m| m.state().domain_type()) as c_int
}

fn parent_device(mdev: Found<'_>) -> *mut bindings::device {
    mdev.map_or(core::ptr::null_mut(), Device::parent_device)
}

fn set_iommu_domain(mdev: Found<'_>, domain: *mut bindings::iommu_domain) {
    if let Some(mdev) = mdev {
        mdev.state().domain.store(domain, Ordering::Release);
    }
}

fn get_iommu_domain(mdev: Found<'_>) -> *mut bindings::iommu_domain {
    mdev.map_or(core::ptr::null_mut(), |m| {
        m.state().domain.load(Ordering::Acquire)
    })
}

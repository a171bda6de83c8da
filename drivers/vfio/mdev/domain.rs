// SPDX-License-Identifier: GPL-2.0

//! Who isolates the DMA of a mediated device (include/linux/mdev.h).

use crate::sys::{DomainTypes, MaybeMediated};
use crate::Mdev;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::ffi::c_int;
use kernel::prelude::*;
use linux::bindings;

/// `enum mdev_domain_type`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum DomainType {
    NoIommu = bindings::mdev_domain_type_DOMAIN_TYPE_NO_IOMMU.0,
    AttachParent = bindings::mdev_domain_type_DOMAIN_TYPE_ATTACH_PARENT.0,
}

impl DomainType {
    fn from_raw(raw: bindings::mdev_domain_type) -> Option<Self> {
        [Self::NoIommu, Self::AttachParent]
            .into_iter()
            .find(|t| *t as u32 == raw.0)
    }

    /// As sysfs shows it.
    pub(crate) fn name(self) -> &'static [u8] {
        match self {
            Self::NoIommu => b"no-iommu",
            Self::AttachParent => b"attach-parent",
        }
    }
}

/// What a device has in addition to the kernel's structure.
#[derive(Default)]
pub(crate) struct State {
    attach_parent: AtomicBool,
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

impl DomainTypes for Mdev {
    fn set_domain_type(dev: MaybeMediated<'_>, ty: bindings::mdev_domain_type) -> c_int {
        kernel::error::from_result(|| {
            let mdev = dev.get().ok_or(ENODEV)?;
            let Some(ty) = DomainType::from_raw(ty) else {
                dev_err!(mdev.dev(), "domain type {} is unknown\n", ty.0);
                return Err(EINVAL);
            };
            // Those who may be using the device have seen its type: from creation on there is
            // sysfs, and in a group there is VFIO.
            if mdev.is_active() || mdev.is_in_group() {
                dev_err!(mdev.dev(), "domain type set when the device is in use\n");
                return Err(EBUSY);
            }
            let attach = ty == DomainType::AttachParent;
            mdev.state().attach_parent.store(attach, Ordering::Release);
            Ok(0)
        })
    }

    fn get_domain_type(dev: MaybeMediated<'_>) -> c_int {
        dev.get()
            .map_or(DomainType::NoIommu, |mdev| mdev.state().domain_type()) as c_int
    }
}

// SPDX-License-Identifier: GPL-2.0

//! A mediated device that is being made.

use crate::DomainType;
use kernel::device::{Bound, Device};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::Opaque;
use linux::bindings;
use linux::object::Object;

/// A mediated device that is being bound to its parent's driver: `struct mdev_device`.
#[repr(transparent)]
pub struct Mdev(Opaque<bindings::mdev_device>);

// SAFETY: A transparent `Opaque`. The mdev core makes the devices to which there are references.
unsafe impl Object<bindings::mdev_device> for Mdev {}

impl Mdev {
    /// The device.
    pub fn dev(&self) -> &Device<Bound> {
        // SAFETY: A field of a valid device.
        let dev = unsafe { &raw mut (*self.as_raw()).dev };
        // SAFETY: It is being bound to a driver as long as there is a reference to `self`.
        unsafe { Device::from_raw(dev) }
    }

    /// Says who isolates its DMA.
    ///
    /// # Errors
    ///
    /// `EBUSY` once it may be in use.
    pub fn set_domain_type(&self, ty: DomainType) -> Result {
        let dev = (**self.dev()).as_raw();
        // SAFETY: A valid device.
        to_result(unsafe { bindings::mdev_set_domain_type(dev, ty.raw()) })
    }

    /// Who isolates its DMA.
    pub fn domain_type(&self) -> DomainType {
        let dev = (**self.dev()).as_raw();
        // SAFETY: A valid device.
        DomainType::from_raw(unsafe { bindings::mdev_get_domain_type(dev) })
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Writing a parent of mediated devices.
//!
//! A driver implements [`Driver`]; a module registers it once ([`DriverRegistration`]) and offers each
//! of its devices as a parent ([`ParentRegistration`]). What the operator makes of it is a VFIO device
//! ([`linux_vfio::device::Device`]).
//!
//! C header: `include/linux/mdev.h`

mod c;
mod device;
mod driver;
mod parent;

pub use device::{DomainType, Mdev};
pub use driver::{DriverRegistration, TypeInfo};
pub use parent::ParentRegistration;

use kernel::prelude::*;
use kernel::sync::Arc;

/// A driver of parents.
pub trait Driver: Sized + 'static {
    /// As sysfs shows it, and what names of types begin with.
    const NAME: &'static CStr;
    /// What its devices look like to VFIO's users.
    const DEVICE_API: &'static CStr = c"vfio-pci";
    /// What it offers.
    const TYPES: &'static [TypeInfo];

    /// Data of one parent.
    type Parent: Send + Sync;
    /// What becomes of a mediated device.
    type Device: linux_vfio::device::Device;

    /// How many more devices of type `TYPES[ty]` can be made.
    fn available(parent: &Arc<Self::Parent>, ty: usize) -> u32;

    /// Makes a device of type `TYPES[ty]`, and says by [`Mdev::set_domain_type`] who isolates it.
    ///
    /// # Errors
    ///
    /// Go to who asked for the device.
    fn create(
        parent: &Arc<Self::Parent>,
        ty: usize,
        mdev: Mdev,
    ) -> Result<impl PinInit<Self::Device, Error>>;
}

// SPDX-License-Identifier: GPL-2.0

//! Writing a parent of mediated devices.
//!
//! A driver implements [`Driver`]; a module registers it once ([`DriverRegistration`]) and offers
//! each of its devices as a parent ([`ParentRegistration`]). What the operator makes of it is a
//! VFIO device ([`linux_vfio::device::Device`]). For devices whose DMA the IOMMU isolates there is
//! the domain ([`iommu_domain`]).
//!
//! Dropping a [`ParentRegistration`] waits for the users of its devices: no lock that these take
//! may be held. This crate has no locks of its own.
//!
//! C header: `include/linux/mdev.h`

mod device;
mod domain;
mod driver;
mod parent;
mod types;

pub use device::Mdev;
pub use domain::{iommu_domain, DomainType};
pub use driver::DriverRegistration;
pub use parent::ParentRegistration;
pub use types::TypeInfo;

use kernel::prelude::*;
use kernel::sync::Arc;

/// A driver of parents.
///
/// # Examples
///
/// A parent whose devices all have one page of scratch memory, for `Scratch` of
/// [`linux_vfio::device::Device`]'s example:
///
/// ```ignore
/// use kernel::device::{Bound, Device};
/// use linux_mdev::{DomainType, Driver, DriverRegistration, Mdev, ParentRegistration, TypeInfo};
///
/// struct ScratchParent;
///
/// struct ScratchDriver;
///
/// impl Driver for ScratchDriver {
///     const NAME: &'static CStr = c"scratch";
///     type Type = ();
///     const TYPES: &'static [TypeInfo<()>] = &[TypeInfo {
///         ty: (),
///         name: c"page",
///         pretty: c"Scratch memory",
///         description: c"One page of memory",
///     }];
///
///     type Parent = ScratchParent;
///     type Device = Scratch;
///
///     fn available(_parent: &Arc<ScratchParent>, _ty: ()) -> u32 {
///         u32::MAX
///     }
///
///     fn create(
///         _parent: &Arc<ScratchParent>,
///         _ty: (),
///         mdev: &Mdev,
///     ) -> Result<impl PinInit<Scratch, Error>> {
///         // The driver moves the data itself: there is nothing for an IOMMU to isolate.
///         mdev.set_domain_type(DomainType::NoIommu)?;
///         Ok(Scratch::new())
///     }
/// }
///
/// // When the module is loaded:
/// let driver = DriverRegistration::<ScratchDriver>::new(module)?;
///
/// // When the parent is bound, to be dropped first when it is unbound:
/// fn bind(
///     dev: &Device<Bound>,
///     driver: &Arc<DriverRegistration<ScratchDriver>>,
/// ) -> Result<ParentRegistration<ScratchDriver>> {
///     ParentRegistration::new(dev, driver, Arc::new(ScratchParent, GFP_KERNEL)?)
/// }
/// ```
pub trait Driver: Sized + 'static {
    /// The driver's name in sysfs.
    const NAME: &'static CStr;
    /// What its devices look like to VFIO's users (sysfs `device_api`).
    const DEVICE_API: &'static CStr = c"vfio-pci";

    /// What distinguishes its types of devices.
    type Type: Copy + Send + Sync + 'static;
    /// The types that each parent offers.
    const TYPES: &'static [TypeInfo<Self::Type>];

    /// Data of one parent.
    type Parent: Send + Sync + 'static;
    /// What a mediated device is to its user.
    type Device: linux_vfio::device::Device;

    /// How many more devices of this type can be made (sysfs `available_instances`).
    fn available(parent: &Arc<Self::Parent>, ty: Self::Type) -> u32;

    /// Makes a device of this type, and says by [`Mdev::set_domain_type`] who isolates it.
    ///
    /// # Errors
    ///
    /// Go to the user who creates the device.
    fn create(
        parent: &Arc<Self::Parent>,
        ty: Self::Type,
        mdev: &Mdev,
    ) -> Result<impl PinInit<Self::Device, Error>>;
}

// SPDX-License-Identifier: GPL-2.0

//! The functions that other modules call by their names in C (`include/linux/mdev.h`).

use crate::sys::device;
use crate::sys::driver::{self, Driver};
use crate::sys::parent::{self, Blank, Parent, Types};
use crate::sys::{DomainTypes, MaybeMediated};
use crate::Mdev;
use kernel::device::Device;
use kernel::ffi::{c_int, c_uint};
use linux::bindings;

linux::exports! {
    /// Registers a parent.
    ///
    /// # Safety
    ///
    /// As `include/linux/mdev.h` says: `parent` is memory that nothing else uses, `types` leads to
    /// `nr_types` pointers to types, and all that is passed stays valid until the parent is
    /// unregistered, or registering has failed. `dev` is in sysfs, and `driver` is registered.
    unsafe fn mdev_register_parent(
        parent: *mut bindings::mdev_parent => Blank<'_>,
        dev: *mut bindings::device => &Device,
        driver: *mut bindings::mdev_driver => &Driver,
        types: *mut *mut bindings::mdev_type => Types<'_>,
        nr_types: c_uint => c_uint,
    ) -> c_int = parent::register;

    /// Unregisters a parent.
    ///
    /// # Safety
    ///
    /// `parent` is registered, and is unregistered once.
    unsafe fn mdev_unregister_parent(parent: *mut bindings::mdev_parent => &Parent)
        = parent::unregister;

    /// Registers a driver.
    ///
    /// # Safety
    ///
    /// `driver` stays valid until it is unregistered, or registering has failed.
    unsafe fn mdev_register_driver(driver: *mut bindings::mdev_driver => &Driver) -> c_int
        = driver::register;

    /// Unregisters a driver.
    ///
    /// # Safety
    ///
    /// `driver` is registered, and has no parents any more.
    unsafe fn mdev_unregister_driver(driver: *mut bindings::mdev_driver => &Driver)
        = driver::unregister;

    /// Chooses who isolates the DMA of a mediated device.
    ///
    /// # Safety
    ///
    /// `dev` is a device, or NULL.
    unsafe fn mdev_set_domain_type(
        dev: *mut bindings::device => MaybeMediated<'_>,
        ty: bindings::mdev_domain_type => bindings::mdev_domain_type,
    ) -> c_int = Mdev::set_domain_type;

    /// Says who isolates the DMA of a device.
    ///
    /// # Safety
    ///
    /// `dev` is a device, or NULL.
    unsafe fn mdev_get_domain_type(dev: *mut bindings::device => MaybeMediated<'_>) -> c_int
        = Mdev::get_domain_type;

    /// Returns the device that sends the requests of a mediated device.
    ///
    /// # Safety
    ///
    /// `dev` is a device, or NULL.
    unsafe fn mdev_parent_device(
        dev: *mut bindings::device => MaybeMediated<'_>,
    ) -> *mut bindings::device = device::parent_device;

    /// Notes the domain of a mediated device.
    ///
    /// # Safety
    ///
    /// `dev` is a device, or NULL.
    unsafe fn mdev_set_iommu_domain(
        dev: *mut bindings::device => MaybeMediated<'_>,
        domain: *mut bindings::iommu_domain => *mut bindings::iommu_domain,
    ) = device::set_iommu_domain;

    /// Returns the domain of a mediated device.
    ///
    /// # Safety
    ///
    /// `dev` is a device, or NULL.
    unsafe fn mdev_get_iommu_domain(
        dev: *mut bindings::device => MaybeMediated<'_>,
    ) -> *mut bindings::iommu_domain = device::get_iommu_domain;
}

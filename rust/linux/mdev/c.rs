// SPDX-License-Identifier: GPL-2.0

//! The C structures and functions that this crate works with.

use crate::TypeInfo;
use kernel::device::Device;
use kernel::prelude::*;
use kernel::types::Opaque;
use linux::bindings;

// SAFETY: Ours are made ready for the mdev core, and then belong to it, as all others do; it locks them.
linux::c_objects!(unsafe {
    pub(crate) struct MdevParent(bindings::mdev_parent);
    pub(crate) struct MdevType(bindings::mdev_type);
    pub(crate) struct MdevDriver(bindings::mdev_driver);
    pub(crate) struct MdevDevice(bindings::mdev_device);
});

// SAFETY: Initialised by the mdev core.
linux::c_parts!(unsafe impl MdevDevice: bindings::mdev_device {
    pub(crate) fn dev() -> &Device = &dev;
});

// SAFETY: These want a device.
linux::c_functions!(unsafe {
    pub(crate) fn mdev_set_domain_type(dev: &Device, ty: bindings::mdev_domain_type) -> i32;
    pub(crate) fn mdev_get_domain_type(dev: &Device) -> i32;
    pub(crate) fn mdev_get_iommu_domain(dev: &Device) -> *mut bindings::iommu_domain;
});

impl MdevParent {
    pub(crate) fn new() -> Self {
        Self(Opaque::zeroed())
    }
}

impl MdevType {
    pub(crate) fn new(info: &'static TypeInfo) -> Self {
        Self(Opaque::new(bindings::mdev_type {
            sysfs_name: info.name.as_char_ptr(),
            pretty_name: info.pretty.as_char_ptr(),
            ..Default::default()
        }))
    }
}

impl MdevDriver {
    pub(crate) fn new(driver: bindings::mdev_driver) -> Self {
        Self(Opaque::new(driver))
    }
}

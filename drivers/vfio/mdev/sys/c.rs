// SPDX-License-Identifier: GPL-2.0

//! The C structures and functions that this crate works with.

use crate::sys::sysfs::{Page, Text};
use crate::sys::Uuid;
use kernel::device::Device;
use kernel::prelude::*;
use linux::abi::Pass;
use linux::bindings;
use linux::kobject::Kobject;
use linux::rwsem::RwSemaphore;

// SAFETY: There are references to what has been initialised only; what changes then is atomic, or a lock,
// or belongs to C code that locks it.
linux::c_objects!(unsafe {
    /// `struct mdev_parent`.
    pub(crate) struct Parent(bindings::mdev_parent);
    /// `struct mdev_type`.
    pub(crate) struct Type(bindings::mdev_type);
    /// `struct mdev_driver`.
    pub(crate) struct Driver(bindings::mdev_driver);
    /// `struct class_compat`.
    pub(crate) struct Class(bindings::class_compat);
});

// SAFETY: Constant while the parent is registered. Device and driver outlive it.
linux::c_parts!(unsafe impl Parent: bindings::mdev_parent {
    /// The device, for messages.
    pub(crate) fn dev() -> &Device = *dev;
    pub(crate) fn driver() -> &Driver = *mdev_driver;
    pub(crate) fn lock() -> &RwSemaphore = &unreg_sem;
    pub(crate) fn instances() -> &core::sync::atomic::AtomicI32 = &available_instances;
});

// SAFETY: Set in `Type::add`, before anybody else sees the type, and constant while it is registered,
// which is no longer than its parent is.
linux::c_parts!(unsafe impl Type: bindings::mdev_type {
    /// The parent that offers it.
    pub(crate) fn parent() -> &Parent = *parent;
    pub(crate) fn kobj() -> &Kobject = &kobj;
    pub(crate) fn devices() -> &Kobject = *devices_kobj;
});

// SAFETY: A driver's own functions, constant while it is registered, for its own devices and types.
linux::c_methods!(unsafe impl Driver: bindings::mdev_driver {
    pub(crate) fn probe(mdev: OnBus<'_>) -> i32;
    pub(crate) fn remove(mdev: OnBus<'_>);
    pub(crate) fn get_available(ty: &Type) -> u32;
    pub(crate) fn show_description(ty: &Type, page: &mut Page<'_>) -> isize;
});

// SAFETY: These want a class that is registered, as it is while the slot has it, and a device or folder
// that exists; text that they copy, and text with a NUL behind it.
linux::c_functions!(unsafe {
    pub(crate) fn class_compat_register(name: &CStr) -> *mut bindings::class_compat;
    pub(crate) fn class_compat_create_link(class: &Class, dev: &Device) -> i32;
    pub(crate) fn class_compat_remove_link(class: &Class, dev: &Device);
    pub(crate) fn kobject_create_and_add(name: &CStr, parent: &Kobject) -> *mut bindings::kobject;
    pub(crate) fn dev_driver_string(dev: &Device) -> *const kernel::ffi::c_char;
    pub(crate) fn kstrtoull(text: Text<'_>, base: u32, value: &mut u64) -> i32;
    pub(crate) fn guid_parse(text: Text<'_>, uuid: &mut Uuid) -> i32;
});

// SAFETY: The driver core passes devices of the bus that it binds, or unbinds, to our functions.
linux::c_arguments!(unsafe {
    /// A device of our bus with a driver.
    #[derive(Clone, Copy)]
    pub(crate) struct OnBus<'a>(&'a Device): *mut bindings::device;
});

impl Pass<*mut bindings::mdev_device> for OnBus<'_> {
    fn pass(self) -> *mut bindings::mdev_device {
        // It comes first.
        Pass::<*mut bindings::device>::pass(self.0).cast()
    }
}

impl OnBus<'_> {
    pub(crate) fn driver(&self) -> &Driver {
        let dev: *mut bindings::device = Pass::pass(self.0);
        // SAFETY: Drivers of the bus are embedded in a `struct mdev_driver`, and stay while bound.
        unsafe { &*kernel::container_of!((*dev).driver, bindings::mdev_driver, driver).cast() }
    }
}

impl Pass<*mut bindings::guid_t> for &mut Uuid {
    fn pass(self) -> *mut bindings::guid_t {
        core::ptr::from_mut(self).cast()
    }
}

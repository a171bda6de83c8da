// SPDX-License-Identifier: GPL-2.0

//! The types of devices that a parent offers.

use crate::sys::device::NewDevice;
use crate::sys::registration::{Held, Registration};
use crate::sys::sysfs::TYPE_KOBJECT;
use crate::sys::{Page, Parent, Uuid, Written};
use core::mem::offset_of;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::Opaque;
use linux::bindings;
use linux::callback::{Call, FromC};
use linux::object::Object;

/// A type of a parent: `struct mdev_type`.
#[repr(transparent)]
pub(crate) struct Type(Opaque<bindings::mdev_type>);

// SAFETY: A transparent `Opaque`. References are made to types of parents that are registered, and
// stay so.
unsafe impl Object<bindings::mdev_type> for Type {}

/// The type whose kobject this is: it and its parent are registered until the call ends.
impl<'call> FromC<'call, *mut bindings::kobject> for &'call Type {
    unsafe fn from_c(c: *mut bindings::kobject, _call: &'call Call) -> Self {
        // SAFETY: As required of us, it lies in a type.
        let ty = unsafe { c.byte_sub(offset_of!(bindings::mdev_type, kobj)) };
        // SAFETY: As required of us.
        unsafe { &*ty.cast() }
    }
}

/// A type whose parent cannot be unregistered, for making a device.
pub(crate) struct HeldType<'a> {
    ty: &'a Type,
    held: Held,
}

impl Type {
    /// The parent that offers it.
    pub(crate) fn parent(&self) -> &Parent {
        // SAFETY: A field of a valid type, which `publish` has set.
        let parent = unsafe { (*self.as_raw()).parent };
        // SAFETY: The parent is registered as long as the type is.
        unsafe { &*parent.cast() }
    }

    /// Keeps the parent from being unregistered; `None` when that has begun.
    pub(crate) fn hold(&self) -> Option<HeldType<'_>> {
        let registration = Registration::of(self.parent())?;
        let held = Registration::hold(&registration)?;
        Some(HeldType { ty: self, held })
    }

    /// What kind of VFIO device comes of it, `vfio-pci` for instance.
    pub(crate) fn device_api(&self) -> &CStr {
        self.parent().driver().device_api()
    }

    /// Its human-readable name, or the one in sysfs if the driver gives none.
    pub(crate) fn name(&self) -> &CStr {
        // SAFETY: A field of a valid type, which the driver has set.
        let pretty = unsafe { (*self.as_raw()).pretty_name };
        let name = if pretty.is_null() {
            // SAFETY: As above.
            unsafe { (*self.as_raw()).sysfs_name }
        } else {
            pretty
        };
        // SAFETY: A string, for as long as the type is registered.
        unsafe { CStr::from_char_ptr(name) }
    }

    /// How many more devices can be made.
    pub(crate) fn available(&self) -> u32 {
        let parent = self.parent();
        match parent.driver().get_available() {
            // SAFETY: A type of a parent of this driver.
            Some(get_available) => unsafe { get_available(self.as_raw()) },
            None => parent.instances().load(Ordering::Relaxed) as u32,
        }
    }

    /// Whether the driver describes its types.
    pub(crate) fn has_description(&self) -> bool {
        self.parent().driver().show_description().is_some()
    }

    /// Has the driver write its description.
    ///
    /// # Errors
    ///
    /// `EIO` when it has none, and the driver's.
    pub(crate) fn describe(&self, page: Page<'_>) -> Result<Written> {
        let describe = self.parent().driver().show_description().ok_or(EIO)?;
        // SAFETY: A type of a parent of this driver, and a page.
        page.written_by(|page| unsafe { describe(self.as_raw(), page) })
    }

    pub(super) fn kobj(&self) -> *mut bindings::kobject {
        // SAFETY: A field of a valid type.
        unsafe { &raw mut (*self.as_raw()).kobj }
    }

    /// The folder with links to the devices of this type; NULL before it is made.
    pub(super) fn devices(&self) -> &AtomicPtr<bindings::kobject> {
        // SAFETY: A field of a valid type.
        let devices = unsafe { &raw mut (*self.as_raw()).devices_kobj };
        // SAFETY: Aligned, as valid as the type, and accessed by us alone while its parent is
        // registered.
        unsafe { AtomicPtr::from_ptr(devices) }
    }

    /// Makes its files in sysfs, below those of `parent`, which it belongs to.
    ///
    /// # Errors
    ///
    /// `EEXIST` when the name is taken, `ENOMEM`.
    pub(super) fn publish(&self, parent: &Parent) -> Result {
        let ty = self.as_raw();
        // SAFETY: The type is ours while its parent is registered, and nothing uses it yet.
        unsafe { (*ty).parent = parent.as_raw() };
        self.devices()
            .store(core::ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: A field of a valid parent.
        let kset = unsafe { (*parent.as_raw()).mdev_types_kset };
        // SAFETY: As above.
        unsafe { (*ty).kobj.kset = kset };
        // SAFETY: The parent's device is valid.
        let driver = unsafe { bindings::dev_driver_string(parent.dev().as_raw()) };
        // SAFETY: A field of a valid type, which the driver has set.
        let name = unsafe { (*ty).sysfs_name };
        let (format, none) = (c"%s-%s".as_char_ptr(), core::ptr::null_mut());
        // SAFETY: The kobject is not in use, and as valid as the type; two strings belong to the
        // format.
        let added = to_result(unsafe {
            bindings::kobject_init_and_add(self.kobj(), TYPE_KOBJECT, none, format, driver, name)
        });
        if added.is_err() {
            // SAFETY: Initialised, and not added: this drops the only reference.
            unsafe { bindings::kobject_put(self.kobj()) };
            return added;
        }
        let name = c"devices".as_char_ptr();
        // SAFETY: Added above; the name is copied.
        let devices = unsafe { bindings::kobject_create_and_add(name, self.kobj()) };
        if devices.is_null() {
            self.remove();
            return Err(ENOMEM);
        }
        self.devices().store(devices, Ordering::Release);
        Ok(())
    }

    /// Undoes [`Self::publish`], once.
    pub(super) fn withdraw(&self) {
        let devices = self.devices().load(Ordering::Acquire);
        // SAFETY: Made by `publish`, with this reference.
        unsafe { bindings::kobject_put(devices) };
        self.remove();
    }

    /// Removes the kobject, and waits for all who use its files.
    fn remove(&self) {
        // SAFETY: Added by `publish`.
        unsafe { bindings::kobject_del(self.kobj()) };
        // SAFETY: The reference that it was initialised with.
        unsafe { bindings::kobject_put(self.kobj()) };
    }
}

impl<'a> HeldType<'a> {
    /// Makes a device of this type, not yet in sysfs.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new_device(&self, uuid: Uuid) -> Result<NewDevice<'_>> {
        NewDevice::new(self, uuid)
    }

    pub(super) fn ty(&self) -> &'a Type {
        self.ty
    }

    pub(super) fn held(&self) -> &Held {
        &self.held
    }
}

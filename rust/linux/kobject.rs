// SPDX-License-Identifier: GPL-2.0

//! Folders in sysfs, and links to them.
//!
//! C headers: [`include/linux/kobject.h`](srctree/include/linux/kobject.h),
//! [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::abi::Object;
use crate::bindings;
use kernel::device::Device;
use kernel::error::to_result;
use kernel::ffi::c_char;
use kernel::prelude::*;

// SAFETY: Counted, and C code locks what changes in them.
crate::c_objects!(unsafe {
    /// `struct kobject`.
    pub struct Kobject(bindings::kobject);
});

mod c {
    use super::Kobject;

    // SAFETY: These want initialised kobjects, and fail for those that are not in sysfs. They copy the
    // names.
    crate::c_functions!(unsafe {
        pub(super) fn sysfs_create_link(
            folder: &Kobject,
            target: &Kobject,
            name: &super::CStr,
        ) -> i32;
        pub(super) fn sysfs_remove_link(folder: &Kobject, name: &super::CStr);
    });
}

impl Kobject {
    /// That of a device.
    pub fn of(dev: &Device) -> &Self {
        // SAFETY: It is part of the device.
        unsafe { crate::abi::part(dev, &raw mut (*dev.as_raw()).kobj) }
    }

    /// Makes a link to `target`.
    ///
    /// # Errors
    ///
    /// `EEXIST`, `ENOENT` for a target and `EFAULT` for a folder that is not in sysfs, `ENOMEM`.
    pub fn link(&self, target: &Self, name: &CStr) -> Result {
        to_result(c::sysfs_create_link(self, target, name))
    }

    /// Removes a link.
    pub fn unlink(&self, name: &CStr) {
        c::sysfs_remove_link(self, name);
    }

    /// Tells user space that it has changed, with a `variable` in the form `NAME=value`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and those of the subsystem.
    pub fn announce_change(&self, variable: &CStr) -> Result {
        let mut env: [*mut c_char; 2] = [variable.as_char_ptr().cast_mut(), core::ptr::null_mut()];
        let action = bindings::kobject_action_KOBJ_CHANGE;
        // SAFETY: The kobject is initialised; the list ends with NULL, and the variable is copied.
        to_result(unsafe { bindings::kobject_uevent_env(self.as_raw(), action, env.as_mut_ptr()) })
    }
}

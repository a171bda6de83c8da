// SPDX-License-Identifier: GPL-2.0

//! Files in sysfs: those of a type, which is a bare kobject, and those of a mediated device.
//!
//! C header: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::sys::registration::Held;
use crate::sys::{Core, Device, Page, Type, Uuid, Written};
use crate::Mdev;
use kernel::error::{from_result, to_result};
use kernel::ffi::{c_char, c_int};
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::types::NotThreadSafe;
use linux::bindings;
use linux::callback::{Call, FromC};
use linux::object::Object;

/// What is written to a file.
///
/// Only trampolines make one. As a parameter of a callback it demands a string that stays until the
/// call ends: sysfs ends what is written with a NUL.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a>(&'a CStr);

impl<'call> FromC<'call, *const c_char> for Text<'call> {
    unsafe fn from_c(c: *const c_char, _call: &'call Call) -> Self {
        // SAFETY: As required of us.
        Self(unsafe { CStr::from_char_ptr(c) })
    }
}

impl Text<'_> {
    /// Reads a number as `kstrtoul(text, 0, ...)` does.
    ///
    /// # Errors
    ///
    /// `EINVAL` for what is not a number, `ERANGE` for one that does not fit.
    pub(crate) fn number(self) -> Result<u64> {
        let mut value = 0;
        // SAFETY: A string, and where the number goes.
        to_result(unsafe { bindings::kstrtoull(self.0.as_char_ptr(), 0, &raw mut value) })?;
        Ok(value)
    }

    /// Reads a UUID as `guid_parse()` does, which ignores what follows it.
    ///
    /// # Errors
    ///
    /// `EINVAL` for what is not a UUID.
    pub(crate) fn uuid(self) -> Result<Uuid> {
        let mut guid = bindings::guid_t::default();
        // SAFETY: A string, and where the UUID goes.
        to_result(unsafe { bindings::guid_parse(self.0.as_char_ptr(), &raw mut guid) })?;
        Ok(Uuid(guid.b))
    }
}

// Kernel code takes `as_char_ptr()`, which is not const; the type has more fields with lockdep.
#[allow(clippy::disallowed_methods, clippy::needless_update)]
const fn attribute(name: &'static CStr, mode: u16) -> bindings::attribute {
    bindings::attribute {
        name: name.as_ptr().cast(),
        mode,
        ..pin_init::zeroed()
    }
}

const EVERYONE_READS: u16 = 0o444;
const ROOT_WRITES: u16 = 0o200;

/// Puts what a file of a type shows into a page.
pub(crate) type TypeShow = fn(&Type, Page<'_>) -> Result<Written>;

/// Does what was written to a file of a type, so many bytes.
pub(crate) type TypeStore = fn(&Type, Text<'_>, usize) -> Result;

/// A file of a type.
#[repr(C)]
pub(crate) struct TypeAttribute {
    attr: bindings::attribute,
    show: Option<TypeShow>,
    store: Option<TypeStore>,
    visible: fn(&Type) -> bool,
}

impl TypeAttribute {
    /// A file that everyone may read.
    pub(crate) const fn read_only(name: &'static CStr, show: TypeShow) -> Self {
        Self {
            attr: attribute(name, EVERYONE_READS),
            show: Some(show),
            store: None,
            visible: |_| true,
        }
    }

    /// A file that root may write.
    pub(crate) const fn write_only(name: &'static CStr, store: TypeStore) -> Self {
        Self {
            attr: attribute(name, ROOT_WRITES),
            show: None,
            store: Some(store),
            visible: |_| true,
        }
    }

    /// The same for such types only.
    pub(crate) const fn only_if(self, visible: fn(&Type) -> bool) -> Self {
        Self { visible, ..self }
    }
}

/// A file of a type, as a parameter of a callback: one of [`Core::TYPE_ATTRIBUTES`].
struct TypeFile(&'static TypeAttribute);

impl FromC<'_, *mut bindings::attribute> for TypeFile {
    unsafe fn from_c(c: *mut bindings::attribute, _call: &Call) -> Self {
        // SAFETY: As required of us; the C structure comes first, and nothing writes to constants.
        Self(unsafe { &*c.cast() })
    }
}

/// Puts what a file of a mediated device shows into a page.
pub(crate) type DeviceShow = fn(&Device, Page<'_>) -> Result<Written>;

/// Does what was written to a file of a mediated device.
pub(crate) type DeviceStore = fn(&Device, Text<'_>, Remover<'_>) -> Result;

/// A file of a mediated device.
#[repr(C)]
pub(crate) struct DeviceAttribute {
    attr: bindings::device_attribute,
    show: Option<DeviceShow>,
    store: Option<DeviceStore>,
}

impl DeviceAttribute {
    /// A file that everyone may read.
    pub(crate) const fn read_only(name: &'static CStr, show: DeviceShow) -> Self {
        Self {
            attr: device_attribute(name, EVERYONE_READS),
            show: Some(show),
            store: None,
        }
    }

    /// A file that root may write, and whose `store` may remove the device.
    pub(crate) const fn write_only(name: &'static CStr, store: DeviceStore) -> Self {
        Self {
            attr: device_attribute(name, ROOT_WRITES),
            show: None,
            store: Some(store),
        }
    }
}

const fn device_attribute(name: &'static CStr, mode: u16) -> bindings::device_attribute {
    bindings::device_attribute {
        attr: attribute(name, mode),
        // Unions, but with CONFIG_CFI structures: their other members are of other types.
        __bindgen_anon_1: {
            let mut functions: bindings::device_attribute__bindgen_ty_1 = pin_init::zeroed();
            functions.show = Some(device_show_callback);
            functions
        },
        __bindgen_anon_2: {
            let mut functions: bindings::device_attribute__bindgen_ty_2 = pin_init::zeroed();
            functions.store = Some(device_store_callback);
            functions
        },
    }
}

/// A file of a mediated device, as a parameter of a callback: one of [`Core::DEVICE_ATTRIBUTES`].
struct DeviceFile(&'static DeviceAttribute);

impl FromC<'_, *mut bindings::device_attribute> for DeviceFile {
    unsafe fn from_c(c: *mut bindings::device_attribute, _call: &Call) -> Self {
        // SAFETY: As required of us; the C structure comes first, and nothing writes to constants.
        Self(unsafe { &*c.cast() })
    }
}

/// A reference to the device whose file is used: one that removes its device must not lose it on
/// the way.
///
/// As a parameter of a callback it demands a pointer to a [`Device`] that is in sysfs when the call
/// begins.
struct Owner(ARef<Device>);

impl FromC<'_, *mut bindings::device> for Owner {
    unsafe fn from_c(c: *mut bindings::device, _call: &Call) -> Self {
        // SAFETY: As required of us; the `struct device` comes first.
        let mdev: &Device = unsafe { &*c.cast() };
        Self(mdev.into())
    }
}

/// The right of a file's `store` function to remove its own device.
pub(crate) struct Remover<'a> {
    mdev: &'a Device,
    file: &'a DeviceFile,
    _thread: NotThreadSafe,
}

/// The same, with the parent kept from being unregistered.
pub(crate) struct HeldRemover<'a> {
    remover: Remover<'a>,
    _held: Held,
}

impl<'a> Remover<'a> {
    /// Keeps the parent from being unregistered; `None` when that has begun, and removes the
    /// device.
    pub(crate) fn hold(self) -> Option<HeldRemover<'a>> {
        let held = self.mdev.hold()?;
        Some(HeldRemover {
            remover: self,
            _held: held,
        })
    }
}

impl HeldRemover<'_> {
    /// Removes the device, unless another thread is about to. Removing it waits for all who use its
    /// files, except for the one who removes it by a file of its own.
    ///
    /// # Errors
    ///
    /// `EAGAIN` for a device that is still being made: an
    /// [`AddedDevice`](super::device::AddedDevice) has it in sysfs until it is active.
    pub(crate) fn remove(self) -> Result {
        let Remover { mdev, file, .. } = self.remover;
        if !mdev.is_active() {
            return Err(EAGAIN);
        }
        let file: *const DeviceAttribute = file.0;
        // SAFETY: This thread is in the `store` function of this file of the device, which C code
        // calls once for each `Remover`.
        if unsafe { bindings::device_remove_file_self(mdev.as_raw(), file.cast()) } {
            // SAFETY: The parent is held, and the device was active.
            unsafe { mdev.remove() };
        }
        Ok(())
    }
}

/// The number of files in a list, for a list of pointers that ends with NULL.
macro_rules! pointers {
    ($attributes:expr) => {{
        let attributes = $attributes;
        let mut list = [core::ptr::null::<bindings::attribute>(); $attributes.len() + 1];
        let mut n = 0;
        while n < attributes.len() {
            // The whole element, not its first field: `from_c` goes back to it.
            list[n] = (&raw const attributes[n]).cast();
            n += 1;
        }
        list
    }};
}

const TYPE_FILES: &[*const bindings::attribute] = &pointers!(Mdev::TYPE_ATTRIBUTES);
const DEVICE_FILES: &[*const bindings::attribute] = &pointers!(Mdev::DEVICE_ATTRIBUTES);

const EMPTY_GROUP: bindings::attribute_group = pin_init::zeroed();

const TYPE_GROUP: &bindings::attribute_group = &bindings::attribute_group {
    __bindgen_anon_1: {
        // As above.
        let mut functions: bindings::attribute_group__bindgen_ty_1 = pin_init::zeroed();
        functions.is_visible = Some(type_is_visible_callback);
        functions
    },
    __bindgen_anon_2: bindings::attribute_group__bindgen_ty_2 {
        attrs_const: TYPE_FILES.as_ptr(),
    },
    ..EMPTY_GROUP
};

const TYPE_GROUPS: &[*const bindings::attribute_group; 2] =
    &[&raw const *TYPE_GROUP, core::ptr::null()];

const TYPE_OPS: &bindings::sysfs_ops = &bindings::sysfs_ops {
    show: Some(type_show_callback),
    store: Some(type_store_callback),
};

/// The kind of a type's kobject, for a [`Type`] of a parent that is registered.
#[allow(clippy::needless_update)]
pub(super) const TYPE_KOBJECT: &bindings::kobj_type = &bindings::kobj_type {
    release: Some(type_release_callback),
    sysfs_ops: TYPE_OPS,
    default_groups: TYPE_GROUPS.as_ptr().cast_mut(),
    ..pin_init::zeroed()
};

const DEVICE_GROUP: &bindings::attribute_group = &bindings::attribute_group {
    __bindgen_anon_2: bindings::attribute_group__bindgen_ty_2 {
        attrs_const: DEVICE_FILES.as_ptr(),
    },
    ..EMPTY_GROUP
};

/// Of a [`Device`].
pub(super) const DEVICE_GROUPS: &[*const bindings::attribute_group; 2] =
    &[&raw const *DEVICE_GROUP, core::ptr::null()];

linux::callbacks! {
    /// `attribute_group::is_visible`.
    ///
    /// # Safety
    ///
    /// For [`TYPE_GROUP`]: sysfs calls it for the kobject of a type that is being published, and
    /// its files.
    unsafe fn type_is_visible_callback(
        kobj: *mut bindings::kobject => &Type,
        attr: *mut bindings::attribute => TypeFile,
        n: c_int => c_int,
    ) -> bindings::umode_t = type_is_visible;

    /// `sysfs_ops::show`.
    ///
    /// # Safety
    ///
    /// For [`TYPE_OPS`]: sysfs calls it for the kobject of a type, which is not removed before the
    /// call ends.
    unsafe fn type_show_callback(
        kobj: *mut bindings::kobject => &Type,
        attr: *mut bindings::attribute => TypeFile,
        page: *mut c_char => Page<'_>,
    ) -> isize = type_show;

    /// `sysfs_ops::store`.
    ///
    /// # Safety
    ///
    /// As [`type_show_callback`].
    unsafe fn type_store_callback(
        kobj: *mut bindings::kobject => &Type,
        attr: *mut bindings::attribute => TypeFile,
        text: *const c_char => Text<'_>,
        len: usize => usize,
    ) -> isize = type_store;

    /// `kobj_type::release`.
    ///
    /// # Safety
    ///
    /// For [`TYPE_KOBJECT`].
    unsafe fn type_release_callback(kobj: *mut bindings::kobject => *mut bindings::kobject)
        = type_release;

    /// `device_attribute::show`.
    ///
    /// # Safety
    ///
    /// For a [`DeviceAttribute`]: the driver core calls it for a device of ours, and this file.
    unsafe fn device_show_callback(
        dev: *mut bindings::device => Owner,
        attr: *mut bindings::device_attribute => DeviceFile,
        page: *mut c_char => Page<'_>,
    ) -> isize = device_show;

    /// `device_attribute::store`.
    ///
    /// # Safety
    ///
    /// As [`device_show_callback`].
    unsafe fn device_store_callback(
        dev: *mut bindings::device => Owner,
        attr: *mut bindings::device_attribute => DeviceFile,
        text: *const c_char => Text<'_>,
        len: usize => usize,
    ) -> isize = device_store;
}

fn type_is_visible(ty: &Type, file: TypeFile, _n: c_int) -> bindings::umode_t {
    if (file.0.visible)(ty) {
        file.0.attr.mode
    } else {
        0
    }
}

fn type_show(ty: &Type, file: TypeFile, page: Page<'_>) -> isize {
    from_result(|| Ok(file.0.show.ok_or(EIO)?(ty, page)?.bytes()))
}

fn type_store(ty: &Type, file: TypeFile, text: Text<'_>, len: usize) -> isize {
    from_result(|| {
        file.0.store.ok_or(EIO)?(ty, text, len)?;
        Ok(len as isize)
    })
}

/// The memory belongs to the driver, which has it back when the parent is unregistered.
fn type_release(_: *mut bindings::kobject) {}

fn device_show(mdev: Owner, file: DeviceFile, page: Page<'_>) -> isize {
    from_result(|| Ok(file.0.show.ok_or(EIO)?(&mdev.0, page)?.bytes()))
}

fn device_store(mdev: Owner, file: DeviceFile, text: Text<'_>, len: usize) -> isize {
    from_result(|| {
        let remover = Remover {
            mdev: &mdev.0,
            file: &file,
            _thread: NotThreadSafe,
        };
        file.0.store.ok_or(EIO)?(&mdev.0, text, remover)?;
        Ok(len as isize)
    })
}

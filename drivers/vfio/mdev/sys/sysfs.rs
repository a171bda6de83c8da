// SPDX-License-Identifier: GPL-2.0

//! Files in sysfs: those of a type, which is a bare kobject, and those of a mediated device.
//!
//! C header: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::sys::{c, Core, Device, Shared, Type, Uuid};
use core::marker::PhantomData;
use kernel::error::{from_result, to_result};
use kernel::ffi::c_char;
use kernel::prelude::*;
use linux::abi::{callback1, callback3, callback4, Object, Pass, Receive};
use linux::bindings;
use linux::kobject::Kobject;
pub(crate) use linux::sysfs::Page;

// SAFETY: Sysfs passes these to our functions: the kobject of a type, one of the files of a device, and
// what was written, of a length, with a NUL behind it.
linux::c_arguments!(unsafe {
    /// The folder of a type.
    pub(crate) struct TypeFolder<'a>(&'a Kobject): *mut bindings::kobject;
    struct TextStart<'a>(*const c_char, PhantomData<&'a [u8]>): *const c_char;
    struct TextLen(usize): usize;
    /// A file of a device.
    struct File<'a>(&'a bindings::device_attribute): *mut bindings::device_attribute;
});

impl TypeFolder<'_> {
    pub(crate) fn ty(&self) -> &Type {
        let kobj = self.0.as_raw();
        // SAFETY: It lies in a type.
        unsafe { &*kernel::container_of!(kobj, bindings::mdev_type, kobj).cast() }
    }
}

/// What is written to a file; sysfs has put a NUL behind it.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a>(&'a [u8]);

impl Pass<*const c_char> for Text<'_> {
    fn pass(self) -> *const c_char {
        self.0.as_ptr().cast()
    }
}

impl<'a> Text<'a> {
    /// Of the arguments of one call.
    fn new(start: TextStart<'a>, len: &TextLen) -> Self {
        // SAFETY: So many bytes are there.
        Self(unsafe { core::slice::from_raw_parts(start.0.cast(), len.0) })
    }

    /// The bytes that were written.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Reads a number as `kstrtoul(text, 0, ...)` does.
    ///
    /// # Errors
    ///
    /// `EINVAL` for all that is no number, `ERANGE` for one that does not fit.
    pub(crate) fn number(self) -> Result<u64> {
        let mut value = 0;
        to_result(c::kstrtoull(self, 0, &mut value))?;
        Ok(value)
    }

    /// Reads a UUID as `guid_parse()` does, which ignores what comes behind it.
    ///
    /// # Errors
    ///
    /// `EINVAL` for what is none.
    pub(crate) fn uuid(self) -> Result<Uuid> {
        let mut uuid = Uuid([0; 16]);
        to_result(c::guid_parse(self, &mut uuid))?;
        Ok(uuid)
    }
}

/// A file of a type.
#[repr(C)]
pub(crate) struct TypeAttribute<T: Core> {
    attr: bindings::attribute,
    show: Option<fn(&Type, Page<'_>) -> Result<usize>>,
    store: Option<fn(&T, &Type, Text<'_>) -> Result>,
    visible: fn(&Type) -> bool,
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

fn always(_: &Type) -> bool {
    true
}

impl<T: Core> TypeAttribute<T> {
    /// A file that all may read.
    pub(crate) const fn read_only(
        name: &'static CStr,
        show: fn(&Type, Page<'_>) -> Result<usize>,
    ) -> Self {
        Self {
            attr: attribute(name, 0o444),
            show: Some(show),
            store: None,
            visible: always,
        }
    }

    /// A file that root may write.
    pub(crate) const fn write_only(
        name: &'static CStr,
        store: fn(&T, &Type, Text<'_>) -> Result,
    ) -> Self {
        Self {
            attr: attribute(name, 0o200),
            show: None,
            store: Some(store),
            visible: always,
        }
    }

    /// The same for such types only.
    pub(crate) const fn only_if(self, visible: fn(&Type) -> bool) -> Self {
        Self { visible, ..self }
    }
}

// SAFETY: Of our own lists only, whose elements begin with the C structure and live for ever.
unsafe impl<T: Core> Receive<*mut bindings::attribute> for &TypeAttribute<T> {}

/// Writes what a file of a mediated device shows, and says how many bytes that is.
pub(crate) type DeviceShow<T> = fn(&Device<T>, Page<'_>) -> Result<usize>;

/// Does what was written to a file of a mediated device.
pub(crate) type DeviceStore<T> = fn(&T, &Device<T>, Text<'_>, Remover<'_, T>) -> Result;

/// A file of a mediated device.
pub(crate) struct DeviceAttribute<T: Core> {
    name: &'static CStr,
    show: Option<DeviceShow<T>>,
    store: Option<DeviceStore<T>>,
}

impl<T: Core> DeviceAttribute<T> {
    /// A file that all may read.
    pub(crate) const fn read_only(name: &'static CStr, show: DeviceShow<T>) -> Self {
        Self {
            name,
            show: Some(show),
            store: None,
        }
    }

    /// A file that root may write, and whose `store` may remove the device.
    pub(crate) const fn write_only(name: &'static CStr, store: DeviceStore<T>) -> Self {
        Self {
            name,
            show: None,
            store: Some(store),
        }
    }
}

/// The right of a file's `store` function to remove its own device.
pub(crate) struct Remover<'a, T: Core> {
    mdev: &'a Device<T>,
    file: File<'a>,
}

impl<T: Core> Remover<'_, T> {
    /// Removes the device, unless somebody else is about to: removing it waits for all who use its
    /// files, except for the one who removes it by a file of its own.
    pub(crate) fn remove(self, parent: &Shared<'_>) {
        let dev = self.mdev.dev().as_raw();
        // SAFETY: The file that is being written belongs to the device.
        if unsafe { bindings::device_remove_file_self(dev, self.file.0) } {
            self.mdev.remove(parent);
        }
    }
}

/// Most files that a type, or a device, may have.
const MAX: usize = 6;

/// [`Core`]'s files in C's form, constant so that they outlive every use.
pub(crate) struct Tables<T: Core>(PhantomData<T>);

#[allow(clippy::disallowed_methods, clippy::needless_update)]
impl<T: Core> Tables<T> {
    const TYPE_LIST: &'static [*const bindings::attribute; MAX + 1] = &{
        let mut list = [core::ptr::null(); MAX + 1];
        let mut n = 0;
        assert!(T::TYPE_ATTRIBUTES.len() <= MAX);
        while n < T::TYPE_ATTRIBUTES.len() {
            // The whole element, not its first field: `from_raw` goes back to it.
            list[n] = (&raw const T::TYPE_ATTRIBUTES[n]).cast();
            n += 1;
        }
        list
    };

    const TYPE_GROUP: &'static bindings::attribute_group = &bindings::attribute_group {
        __bindgen_anon_1: bindings::attribute_group__bindgen_ty_1 {
            is_visible: Some(callback3(Self::type_is_visible)),
        },
        __bindgen_anon_2: bindings::attribute_group__bindgen_ty_2 {
            attrs_const: Self::TYPE_LIST.as_ptr(),
        },
        ..EMPTY_GROUP
    };

    const TYPE_GROUPS: &'static [*const bindings::attribute_group; 2] =
        &[&raw const *Self::TYPE_GROUP, core::ptr::null()];

    const TYPE_OPS: &'static bindings::sysfs_ops = &bindings::sysfs_ops {
        show: Some(callback3(Self::type_show)),
        store: Some(callback4(Self::type_store)),
    };

    /// Of a type's kobject.
    pub(crate) const TYPE: &'static bindings::kobj_type = &bindings::kobj_type {
        release: Some(callback1(Type::release)),
        sysfs_ops: Self::TYPE_OPS,
        default_groups: Self::TYPE_GROUPS.as_ptr().cast_mut(),
        ..pin_init::zeroed()
    };

    const DEVICE_FILES: &'static [bindings::device_attribute; MAX] = &[
        Self::device_file::<0>(),
        Self::device_file::<1>(),
        Self::device_file::<2>(),
        Self::device_file::<3>(),
        Self::device_file::<4>(),
        Self::device_file::<5>(),
    ];

    const DEVICE_LIST: &'static [*const bindings::attribute; MAX + 1] = &{
        let mut list = [core::ptr::null(); MAX + 1];
        let mut n = 0;
        assert!(T::DEVICE_ATTRIBUTES.len() <= MAX);
        while n < T::DEVICE_ATTRIBUTES.len() {
            list[n] = &raw const Self::DEVICE_FILES[n].attr;
            n += 1;
        }
        list
    };

    const DEVICE_GROUP: &'static bindings::attribute_group = &bindings::attribute_group {
        __bindgen_anon_2: bindings::attribute_group__bindgen_ty_2 {
            attrs_const: Self::DEVICE_LIST.as_ptr(),
        },
        ..EMPTY_GROUP
    };

    /// Of a mediated device.
    pub(crate) const DEVICE_GROUPS: &'static [*const bindings::attribute_group; 2] =
        &[&raw const *Self::DEVICE_GROUP, core::ptr::null()];

    const fn device_file<const N: usize>() -> bindings::device_attribute {
        if N >= T::DEVICE_ATTRIBUTES.len() {
            return pin_init::zeroed();
        }
        let file = &T::DEVICE_ATTRIBUTES[N];
        bindings::device_attribute {
            attr: attribute(file.name, if file.show.is_some() { 0o444 } else { 0o200 }),
            __bindgen_anon_1: bindings::device_attribute__bindgen_ty_1 {
                show: Some(callback3(Self::device_show::<N>)),
            },
            __bindgen_anon_2: bindings::device_attribute__bindgen_ty_2 {
                store: Some(callback4(Self::device_store::<N>)),
            },
        }
    }

    extern "C" fn type_is_visible(
        folder: TypeFolder<'_>,
        attr: &TypeAttribute<T>,
        _n: i32,
    ) -> bindings::umode_t {
        if (attr.visible)(folder.ty()) {
            attr.attr.mode
        } else {
            0
        }
    }

    extern "C" fn type_show(
        folder: TypeFolder<'_>,
        attr: &TypeAttribute<T>,
        page: Page<'_>,
    ) -> isize {
        from_result(|| {
            let show = attr.show.ok_or(EIO)?;
            Ok(show(folder.ty(), page)? as isize)
        })
    }

    extern "C" fn type_store(
        folder: TypeFolder<'_>,
        attr: &TypeAttribute<T>,
        text: TextStart<'_>,
        len: TextLen,
    ) -> isize {
        from_result(|| {
            let store = attr.store.ok_or(EIO)?;
            let core = T::slot().get().ok_or(ENODEV)?;
            store(core, folder.ty(), Text::new(text, &len))?;
            Ok(len.0 as isize)
        })
    }

    extern "C" fn device_show<const N: usize>(
        mdev: &Device<T>,
        _file: File<'_>,
        page: Page<'_>,
    ) -> isize {
        from_result(|| {
            let show = T::DEVICE_ATTRIBUTES.get(N).and_then(|a| a.show);
            Ok(show.ok_or(EIO)?(mdev, page)? as isize)
        })
    }

    extern "C" fn device_store<const N: usize>(
        mdev: &Device<T>,
        file: File<'_>,
        text: TextStart<'_>,
        len: TextLen,
    ) -> isize {
        from_result(|| {
            // A file that removes its device must not lose the device on the way.
            let mdev = mdev.get();
            let remover = Remover { mdev: &mdev, file };
            let core = T::slot().get().ok_or(ENODEV)?;
            let store = T::DEVICE_ATTRIBUTES.get(N).and_then(|a| a.store);
            store.ok_or(EIO)?(core, &mdev, Text::new(text, &len), remover)?;
            Ok(len.0 as isize)
        })
    }
}

const EMPTY_GROUP: bindings::attribute_group = pin_init::zeroed();

// SPDX-License-Identifier: GPL-2.0

//! Parents of mediated devices and the types they offer: structures of the parent's driver.

pub(crate) use crate::sys::c::{Parent, Type};

use crate::sys::c::{self, Driver};
use crate::sys::sysfs::{Page, Tables};
use crate::sys::{Core, Device};
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use linux::abi::{callback2, Object};
use linux::bindings;
use linux::kobject::Kobject;
use linux::rwsem::{Reading, Writing};

/// What `mdev_register_parent()` is given to make a parent of: memory of the caller's that nobody else
/// uses, valid until the parent is unregistered.
#[repr(transparent)]
pub(crate) struct Blank<'a>(*mut bindings::mdev_parent, PhantomData<&'a Parent>);

/// The types that `mdev_register_parent()` is given: an array of as many pointers as it is told, valid
/// until the parent is unregistered.
#[repr(transparent)]
pub(crate) struct Types<'a>(*mut *mut bindings::mdev_type, PhantomData<&'a Type>);

/// A parent that is being registered.
pub(crate) struct New<'a>(&'a Parent);

/// A parent that is being taken back.
#[repr(transparent)]
pub(crate) struct Leaving<'a>(&'a Parent);

/// A parent that cannot leave (`unreg_sem` held for reading).
pub(crate) struct Shared<'a> {
    _held: Reading<'a>,
}

/// A leaving parent to which no device comes any more (`unreg_sem` held for writing).
pub(crate) struct Alone<'a> {
    parent: &'a Parent,
    _held: Writing<'a>,
}

impl<'a> New<'a> {
    /// Initialises what the C function `mdev_register_parent()` is given.
    pub(crate) fn of(
        parent: Blank<'a>,
        dev: &'a kernel::device::Device,
        driver: &'a Driver,
        types: Types<'a>,
        count: u32,
    ) -> Self {
        let parent = parent.0;
        // SAFETY: `parent` is nobody else's; all stays valid until it is unregistered.
        unsafe {
            parent.write_bytes(0, 1);
            bindings::siov_helper_init_mdev_unreg_sem(&raw mut (*parent).unreg_sem);
            (*parent).dev = dev.as_raw();
            (*parent).mdev_driver = driver.as_raw();
            (*parent).types = types.0;
            (*parent).nr_types = count;
            (*parent).available_instances.counter = (*driver.as_raw()).max_instances as i32;
            Self(&*parent.cast())
        }
    }

    /// Makes the parent's files in sysfs, from which on devices are created. The result is for
    /// announcing the parent.
    pub(crate) fn publish<T: Core>(self) -> Result<&'a Parent> {
        let (raw, folder) = (self.0.as_raw(), Kobject::of(self.0.dev()).as_raw());
        // SAFETY: The parent's device is valid, and the name is copied. The parent is ours while it is
        // registered, and not in use yet.
        unsafe {
            let name = c"mdev_supported_types".as_char_ptr();
            let kset = bindings::kset_create_and_add(name, core::ptr::null(), folder);
            (*raw).mdev_types_kset = kset;
            if kset.is_null() {
                return Err(ENOMEM);
            }
        }
        let types = self.0.types();
        for (n, ty) in types.iter().enumerate() {
            ty.add::<T>(self.0)
                .inspect_err(|_| self.0.remove_types(types.get(..n).unwrap_or(&[])))?;
        }
        Ok(self.0)
    }
}

impl<'a> Leaving<'a> {
    /// The parent, for messages.
    pub(crate) fn parent(&self) -> &'a Parent {
        self.0
    }

    /// Waits for devices that are being created and removed, and lets no further one begin.
    pub(crate) fn wait(self) -> Alone<'a> {
        Alone {
            parent: self.0,
            _held: self.0.lock().write(),
        }
    }
}

impl<'a> Alone<'a> {
    /// The parent.
    pub(crate) fn parent(&self) -> &'a Parent {
        self.parent
    }

    /// Removes all devices and then the parent's files in sysfs, which waits for whoever uses them.
    pub(crate) fn withdraw<T: Core>(self) {
        let (dev, remove) = (self.parent.dev().as_raw(), callback2(remove_child::<T>));
        // SAFETY: The callback is given a device that the iteration holds a reference to.
        unsafe { bindings::device_for_each_child(dev, core::ptr::null_mut(), Some(remove)) };
        self.parent.remove_types(self.parent.types());
    }
}

/// Called for each child of a parent that is [`Alone`].
extern "C" fn remove_child<T: Core>(
    dev: &kernel::device::Device,
    _data: *mut core::ffi::c_void,
) -> i32 {
    if let Some(mdev) = Device::<T>::from_dev(dev) {
        mdev.remove_locked();
    }
    0
}

impl Parent {
    fn types(&self) -> &[&Type] {
        // SAFETY: Constant while the parent is registered, and `Type` is transparent.
        unsafe {
            let (first, count) = ((*self.as_raw()).types, (*self.as_raw()).nr_types);
            if count == 0 {
                return &[];
            }
            core::slice::from_raw_parts(first.cast(), count as usize)
        }
    }

    /// Undoes what [`New::publish`] has done, for these types.
    fn remove_types(&self, types: &[&Type]) {
        for ty in types.iter().rev() {
            ty.remove();
        }
        // SAFETY: Made by `New::publish`; the callers remove it once.
        unsafe { bindings::kset_unregister((*self.as_raw()).mdev_types_kset) };
    }

    /// Keeps the parent from leaving; `None` when it has begun to.
    pub(crate) fn hold(&self) -> Option<Shared<'_>> {
        let _held = self.lock().try_read()?;
        Some(Shared { _held })
    }

    /// Makes the link in `/sys/class/mdev_bus/`.
    pub(crate) fn link_to_class<T: Core>(&self) -> Result {
        let class = T::slot().class().ok_or(ENODEV)?;
        to_result(c::class_compat_create_link(class, self.dev()))
    }

    /// Removes the link again.
    pub(crate) fn unlink_from_class<T: Core>(&self) {
        if let Some(class) = T::slot().class() {
            c::class_compat_remove_link(class, self.dev());
        }
    }

    /// Tells user space by a "change" event with this variable.
    pub(crate) fn announce(&self, variable: &'static CStr) {
        // Nobody is told when there is no memory to tell it, as in C.
        let _ = Kobject::of(self.dev()).announce_change(variable);
    }

    /// Takes one of the `max_instances` of a driver that does not count itself.
    ///
    /// # Errors
    ///
    /// `EUSERS` when none is left.
    pub(crate) fn take_instance(&self) -> Result {
        if self.driver().get_available().is_some() {
            return Ok(());
        }
        self.instances()
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n != 0).then(|| n.wrapping_sub(1))
            })
            .map_err(|_| Error::from_errno(-(bindings::EUSERS as i32)))?;
        Ok(())
    }

    /// Gives it back.
    pub(crate) fn return_instance(&self) {
        if self.driver().get_available().is_none() {
            self.instances().fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Type {
    fn add<T: Core>(&self, parent: &Parent) -> Result {
        let (ty, driver) = (self.as_raw(), c::dev_driver_string(parent.dev()));
        // Until `release`.
        let _ = ARef::into_raw(ARef::from(parent.dev()));
        // SAFETY: The type is the parent driver's, for our use while it is registered. On failure the
        // kobject's reference is given back, which runs `release`.
        unsafe {
            (*ty).parent = parent.as_raw();
            (*ty).kobj.kset = (*parent.as_raw()).mdev_types_kset;
            let ret = bindings::kobject_init_and_add(
                &raw mut (*ty).kobj,
                Tables::<T>::TYPE,
                core::ptr::null_mut(),
                c"%s-%s".as_char_ptr(),
                driver,
                (*ty).sysfs_name,
            );
            if ret != 0 {
                bindings::kobject_put(&raw mut (*ty).kobj);
                return to_result(ret);
            }
            (*ty).devices_kobj = c::kobject_create_and_add(c"devices", self.kobj());
            if (*ty).devices_kobj.is_null() {
                bindings::kobject_del(&raw mut (*ty).kobj);
                bindings::kobject_put(&raw mut (*ty).kobj);
                return Err(ENOMEM);
            }
        }
        Ok(())
    }

    fn remove(&self) {
        // SAFETY: Undoes `add`; the callers do it once.
        unsafe {
            bindings::kobject_put(self.devices().as_raw());
            bindings::kobject_del(self.kobj().as_raw());
            bindings::kobject_put(self.kobj().as_raw());
        }
    }

    /// Called for the kobject of a type when its last reference is gone.
    pub(crate) extern "C" fn release(kobj: crate::sys::sysfs::TypeFolder<'_>) {
        let dev = NonNull::from(kobj.ty().parent().dev());
        // SAFETY: Taken in `add`.
        drop(unsafe { ARef::from_raw(dev) });
    }

    /// What kind of VFIO device comes of it, `vfio-pci` for instance.
    pub(crate) fn device_api(&self) -> &CStr {
        // SAFETY: `mdev_register_driver()` insists on it, and the driver outlives its parents.
        unsafe { CStr::from_char_ptr((*self.parent().driver().as_raw()).device_api) }
    }

    /// The name for people, or the one in sysfs if the driver gives none.
    pub(crate) fn name(&self) -> &CStr {
        // SAFETY: Set by the driver, for as long as the type is registered.
        unsafe {
            let ty = self.as_raw();
            let name = if (*ty).pretty_name.is_null() {
                (*ty).sysfs_name
            } else {
                (*ty).pretty_name
            };
            CStr::from_char_ptr(name)
        }
    }

    /// How many more devices can be made.
    pub(crate) fn available(&self) -> u32 {
        let parent = self.parent();
        match parent.driver().get_available() {
            Some(get_available) => get_available(self),
            None => parent.instances().load(Ordering::Relaxed) as u32,
        }
    }

    /// Whether the driver describes its types.
    pub(crate) fn has_description(&self) -> bool {
        self.parent().driver().show_description().is_some()
    }

    /// Lets the driver write its description.
    pub(crate) fn describe(&self, mut page: Page<'_>) -> Result<usize> {
        let show = self.parent().driver().show_description().ok_or(EIO)?;
        let len = show(self, &mut page);
        page.written(len)
    }
}

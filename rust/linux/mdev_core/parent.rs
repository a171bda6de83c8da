// SPDX-License-Identifier: GPL-2.0

//! Parents of mediated devices and the types they offer: structures of the parent's driver.

use crate::sysfs::{Page, Tables};
use crate::{Core, Device};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicI32, Ordering};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::Opaque;
use linux::bindings;

/// `struct mdev_parent`.
#[repr(transparent)]
pub struct Parent(Opaque<bindings::mdev_parent>);

// SAFETY: Fields are constant after `New::of`, or atomic, or locks.
unsafe impl Sync for Parent {}

/// `struct mdev_type`.
#[repr(transparent)]
pub struct Type(Opaque<bindings::mdev_type>);

// SAFETY: Fields are constant while a type is registered; its kobjects belong to the C side.
unsafe impl Sync for Type {}

/// A parent that is being registered.
pub struct New<'a>(&'a Parent);

/// A parent that is being taken back.
pub struct Leaving<'a>(&'a Parent);

/// A parent that cannot leave (`unreg_sem` held for reading).
pub struct Shared<'a>(&'a Parent);

/// A leaving parent to which no device comes any more (`unreg_sem` held for writing).
pub struct Alone<'a>(&'a Parent);

impl<'a> New<'a> {
    /// Initialises what the C function `mdev_register_parent()` is given.
    ///
    /// # Safety
    ///
    /// All is as that function demands: `parent` is not in use and stays valid until it is
    /// unregistered, as do `dev`, `driver` and the `count` types at `types`.
    pub(crate) unsafe fn of(
        parent: *mut bindings::mdev_parent,
        dev: *mut bindings::device,
        driver: *mut bindings::mdev_driver,
        types: *mut *mut bindings::mdev_type,
        count: u32,
    ) -> Self {
        // SAFETY: As required of us.
        unsafe {
            parent.write_bytes(0, 1);
            bindings::siov_helper_init_mdev_unreg_sem(&raw mut (*parent).unreg_sem);
            (*parent).dev = dev;
            (*parent).mdev_driver = driver;
            (*parent).types = types;
            (*parent).nr_types = count;
            (*parent).available_instances.counter = (*driver).max_instances as i32;
            Self(&*parent.cast())
        }
    }

    /// Makes the parent's files in sysfs, from which on devices are created. The result is for
    /// announcing the parent.
    pub fn publish<T: Core>(self) -> Result<&'a Parent> {
        let parent = self.0.raw();
        // SAFETY: The parent's device is valid, and the name is copied.
        let kset = unsafe {
            bindings::kset_create_and_add(
                c"mdev_supported_types".as_char_ptr(),
                core::ptr::null(),
                &raw mut (*self.0.raw_dev()).kobj,
            )
        };
        if kset.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: The parent is ours while it is registered.
        unsafe { (*parent).mdev_types_kset = kset };
        for (n, ty) in self.0.types().iter().enumerate() {
            if let Err(e) = ty.add::<T>(self.0) {
                for ty in self.0.types().iter().take(n).rev() {
                    ty.remove();
                }
                // SAFETY: Made above, and empty again.
                unsafe { bindings::kset_unregister(kset) };
                return Err(e);
            }
        }
        Ok(self.0)
    }
}

impl<'a> Leaving<'a> {
    /// # Safety
    ///
    /// `parent` is registered and is being unregistered, once.
    pub(crate) unsafe fn of(parent: *mut bindings::mdev_parent) -> Self {
        // SAFETY: As required of us.
        Self(unsafe { &*parent.cast() })
    }

    /// The parent, for messages.
    pub fn parent(&self) -> &'a Parent {
        self.0
    }

    /// Waits for devices that are being created and removed, and lets no further one begin.
    pub fn wait(self) -> Alone<'a> {
        // SAFETY: Initialised in `New::of`; `Alone` releases it.
        unsafe { bindings::down_write(&raw mut (*self.0.raw()).unreg_sem) };
        Alone(self.0)
    }
}

impl<'a> Alone<'a> {
    /// The parent.
    pub fn parent(&self) -> &'a Parent {
        self.0
    }

    /// Removes all devices and then the parent's files in sysfs, which waits for whoever uses them.
    pub fn withdraw<T: Core>(self) {
        let parent = self.0.raw();
        // SAFETY: The callback is given a device that the iteration holds a reference to.
        unsafe {
            bindings::device_for_each_child(
                self.0.raw_dev(),
                core::ptr::null_mut(),
                Some(remove_child::<T>),
            )
        };
        for ty in self.0.types() {
            ty.remove();
        }
        // SAFETY: Made by `New::publish`.
        unsafe { bindings::kset_unregister((*parent).mdev_types_kset) };
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        // SAFETY: Taken in `Leaving::wait`.
        unsafe { bindings::up_write(&raw mut (*self.0.raw()).unreg_sem) };
    }
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        // SAFETY: Taken in `Parent::hold`.
        unsafe { bindings::up_read(&raw mut (*self.0.raw()).unreg_sem) };
    }
}

/// # Safety
///
/// Called by the driver core for a child of a parent that is `Alone`.
unsafe extern "C" fn remove_child<T: Core>(
    dev: *mut bindings::device,
    _data: *mut core::ffi::c_void,
) -> i32 {
    // SAFETY: The child is valid; those on our bus are ours. The parent's lock is held for writing.
    if let Some(mdev) = unsafe { Device::<T>::from_dev(dev) } {
        mdev.remove_locked();
    }
    0
}

impl Parent {
    pub(crate) fn raw(&self) -> *mut bindings::mdev_parent {
        self.0.get()
    }

    pub(crate) fn raw_dev(&self) -> *mut bindings::device {
        // SAFETY: Constant while the parent is registered.
        unsafe { (*self.raw()).dev }
    }

    pub(crate) fn driver(&self) -> &bindings::mdev_driver {
        // SAFETY: Constant while the parent is registered; the driver outlives it.
        unsafe { &*(*self.raw()).mdev_driver }
    }

    fn types(&self) -> &[&Type] {
        // SAFETY: Constant while the parent is registered, and `Type` is transparent.
        unsafe {
            let (first, count) = ((*self.raw()).types, (*self.raw()).nr_types);
            if count == 0 {
                return &[];
            }
            core::slice::from_raw_parts(first.cast(), count as usize)
        }
    }

    /// The device, for messages.
    pub fn dev(&self) -> &kernel::device::Device {
        // SAFETY: Valid while the parent is registered.
        unsafe { kernel::device::Device::from_raw(self.raw_dev()) }
    }

    /// Keeps the parent from leaving; `None` when it has begun to.
    pub fn hold(&self) -> Option<Shared<'_>> {
        // SAFETY: Initialised in `New::of`; `Shared` releases it.
        let held = unsafe { bindings::down_read_trylock(&raw mut (*self.raw()).unreg_sem) };
        (held != 0).then(|| Shared(self))
    }

    /// Makes the link in `/sys/class/mdev_bus/`.
    pub fn link_to_class<T: Core>(&self) -> Result {
        // SAFETY: The class is registered as long as the core is.
        to_result(unsafe { bindings::class_compat_create_link(T::slot().class(), self.raw_dev()) })
    }

    /// Removes the link again.
    pub fn unlink_from_class<T: Core>(&self) {
        // SAFETY: As above.
        unsafe { bindings::class_compat_remove_link(T::slot().class(), self.raw_dev()) };
    }

    /// Tells user space by a "change" event with this variable.
    pub fn announce(&self, variable: &'static CStr) {
        let mut env = [variable.as_char_ptr().cast_mut(), core::ptr::null_mut()];
        // Nobody is told when there is no memory to tell it, as in C.
        // SAFETY: The device is valid, and the variables are only read.
        let _ = unsafe {
            bindings::kobject_uevent_env(
                &raw mut (*self.raw_dev()).kobj,
                bindings::kobject_action_KOBJ_CHANGE,
                env.as_mut_ptr(),
            )
        };
    }

    fn instances(&self) -> &AtomicI32 {
        // SAFETY: An `atomic_t`, initialised in `New::of`.
        unsafe { AtomicI32::from_ptr(&raw mut (*self.raw()).available_instances.counter) }
    }

    /// Takes one of the `max_instances` of a driver that does not count itself.
    ///
    /// # Errors
    ///
    /// `EUSERS` when none is left.
    pub fn take_instance(&self) -> Result {
        if self.driver().get_available.is_some() {
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
    pub fn return_instance(&self) {
        if self.driver().get_available.is_none() {
            self.instances().fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Type {
    /// # Safety
    ///
    /// `kobj` is that of a registered type, valid for `'a`.
    pub(crate) unsafe fn from_kobj<'a>(kobj: *mut bindings::kobject) -> &'a Self {
        // SAFETY: As required of us.
        unsafe { &*kernel::container_of!(kobj, bindings::mdev_type, kobj).cast() }
    }

    pub(crate) fn raw(&self) -> *mut bindings::mdev_type {
        self.0.get()
    }

    pub(crate) fn raw_kobj(&self) -> *mut bindings::kobject {
        // SAFETY: Only an address is made.
        unsafe { &raw mut (*self.raw()).kobj }
    }

    pub(crate) fn devices_kobj(&self) -> *mut bindings::kobject {
        // SAFETY: Constant while the type is registered.
        unsafe { (*self.raw()).devices_kobj }
    }

    /// The parent that offers it.
    pub fn parent(&self) -> &Parent {
        // SAFETY: Set in `add`; a type is registered no longer than its parent.
        unsafe { &*(*self.raw()).parent.cast() }
    }

    fn add<T: Core>(&self, parent: &Parent) -> Result {
        let ty = self.raw();
        // SAFETY: The type is the parent driver's, for our use while it is registered. On failure the
        // kobject's reference is given back, which runs `release`.
        unsafe {
            (*ty).parent = parent.raw();
            (*ty).kobj.kset = (*parent.raw()).mdev_types_kset;
            // Until `release`.
            bindings::get_device(parent.raw_dev());
            let ret = bindings::kobject_init_and_add(
                self.raw_kobj(),
                Tables::<T>::TYPE,
                core::ptr::null_mut(),
                c"%s-%s".as_char_ptr(),
                bindings::dev_driver_string(parent.raw_dev()),
                (*ty).sysfs_name,
            );
            if ret != 0 {
                bindings::kobject_put(self.raw_kobj());
                return to_result(ret);
            }
            (*ty).devices_kobj =
                bindings::kobject_create_and_add(c"devices".as_char_ptr(), self.raw_kobj());
            if (*ty).devices_kobj.is_null() {
                bindings::kobject_del(self.raw_kobj());
                bindings::kobject_put(self.raw_kobj());
                return Err(ENOMEM);
            }
        }
        Ok(())
    }

    fn remove(&self) {
        // SAFETY: Undoes `add`; the callers do it once.
        unsafe {
            bindings::kobject_put(self.devices_kobj());
            bindings::kobject_del(self.raw_kobj());
            bindings::kobject_put(self.raw_kobj());
        }
    }

    /// # Safety
    ///
    /// Called for the kobject of a type when its last reference is gone.
    pub(crate) unsafe extern "C" fn release(kobj: *mut bindings::kobject) {
        // SAFETY: As required of us.
        let ty = unsafe { Self::from_kobj(kobj) };
        // SAFETY: Taken in `add`.
        unsafe { bindings::put_device(ty.parent().raw_dev()) };
    }

    /// What kind of VFIO device comes of it, `vfio-pci` for instance.
    pub fn device_api(&self) -> &CStr {
        // SAFETY: `mdev_register_driver()` insists on it, and the driver outlives its parents.
        unsafe { CStr::from_char_ptr(self.parent().driver().device_api) }
    }

    /// The name for people, or the one in sysfs if the driver gives none.
    pub fn name(&self) -> &CStr {
        // SAFETY: Set by the driver, for as long as the type is registered.
        unsafe {
            let ty = self.raw();
            let name = if (*ty).pretty_name.is_null() {
                (*ty).sysfs_name
            } else {
                (*ty).pretty_name
            };
            CStr::from_char_ptr(name)
        }
    }

    /// How many more devices can be made.
    pub fn available(&self) -> u32 {
        match self.parent().driver().get_available {
            // SAFETY: The driver's own function on its own type.
            Some(get_available) => unsafe { get_available(self.raw()) },
            None => self.parent().instances().load(Ordering::Relaxed) as u32,
        }
    }

    /// Whether the driver describes its types.
    pub fn has_description(&self) -> bool {
        self.parent().driver().show_description.is_some()
    }

    /// Lets the driver write its description.
    pub fn describe(&self, page: Page<'_>) -> Result<usize> {
        let show = self.parent().driver().show_description.ok_or(EIO)?;
        // SAFETY: The driver's own function on its own type, with a page to write to.
        let len = unsafe { show(self.raw(), page.as_ptr()) };
        page.written(len)
    }
}

/// A pointer to a device of the parent's, kept alive by a reference.
pub(crate) struct ParentDev(NonNull<bindings::device>);

// SAFETY: The reference count is atomic.
unsafe impl Send for ParentDev {}
// SAFETY: As above.
unsafe impl Sync for ParentDev {}

impl ParentDev {
    pub(crate) fn of(parent: &Parent) -> Option<Self> {
        // SAFETY: The device is valid while the parent is registered.
        NonNull::new(unsafe { bindings::get_device(parent.raw_dev()) }).map(Self)
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::device {
        self.0.as_ptr()
    }
}

impl Drop for ParentDev {
    fn drop(&mut self) {
        // SAFETY: Gives back the reference taken in `of`.
        unsafe { bindings::put_device(self.0.as_ptr()) };
    }
}

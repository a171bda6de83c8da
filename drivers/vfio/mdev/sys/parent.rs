// SPDX-License-Identifier: GPL-2.0

//! Parents of mediated devices: registering and unregistering them.

use crate::sys::bus::class;
use crate::sys::driver::Driver;
use crate::sys::registration::Registration;
use crate::sys::{Core, Device, Type};
use crate::Mdev;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicI32, Ordering};
use kernel::error::{from_result, to_result};
use kernel::ffi::{c_char, c_int, c_uint};
use kernel::prelude::*;
use kernel::types::Opaque;
use linux::bindings;
use linux::callback::{Call, Data, FromC, Registered};
use linux::object::Object;

/// A parent that is registered, or is being registered or unregistered: `struct mdev_parent`, of
/// which `initialise` has set what does not change.
#[repr(transparent)]
pub(crate) struct Parent(Opaque<bindings::mdev_parent>);

// SAFETY: A transparent `Opaque`. References are made to parents that are registered, and stay so.
unsafe impl Object<bindings::mdev_parent> for Parent {}

/// Memory for a parent.
///
/// As a parameter of `mdev_register_parent()` it demands that the pointer leads to memory for a
/// `struct mdev_parent` that nothing else uses, and that stays valid until
/// `mdev_unregister_parent()` returns; or, if registering fails, until that returns.
pub(super) struct Blank<'call>(NonNull<bindings::mdev_parent>, PhantomData<&'call Call>);

impl<'call> FromC<'call, *mut bindings::mdev_parent> for Blank<'call> {
    unsafe fn from_c(c: *mut bindings::mdev_parent, _call: &'call Call) -> Self {
        // SAFETY: Not NULL, as required of us.
        Self(unsafe { NonNull::new_unchecked(c) }, PhantomData)
    }
}

/// The types of a parent.
///
/// As a parameter of `mdev_register_parent()` it demands that the pointer leads to as many pointers
/// to valid types as the next parameter says, and that all of them stay valid, and the pointers
/// unchanged, as long as [`Blank`].
pub(super) struct Types<'call>(*mut *mut bindings::mdev_type, PhantomData<&'call Call>);

impl<'call> FromC<'call, *mut *mut bindings::mdev_type> for Types<'call> {
    unsafe fn from_c(c: *mut *mut bindings::mdev_type, _call: &'call Call) -> Self {
        Self(c, PhantomData)
    }
}

/// `mdev_register_parent()`, for the trampoline alone: the parameters are those of one call.
///
/// # Errors
///
/// `ENOMEM`, and those of sysfs, where the name of a type may be taken. The parent is not in use
/// then.
pub(super) fn register(
    parent: Blank<'_>,
    dev: &kernel::device::Device,
    driver: &Driver,
    types: Types<'_>,
    count: c_uint,
) -> c_int {
    from_result(|| {
        let parent = parent.initialise(dev, driver, types, count);
        // SAFETY: The parent stays valid until it is unregistered, which ends the registration, or
        // until we return an error, before which it is ended below.
        let registration = unsafe { Registration::new(parent)? };
        if let Err((error, types)) = publish(parent) {
            registration.end();
            withdraw(parent, &registration, types);
            return Err(error);
        }
        Mdev::registered(parent);
        Ok(0)
    })
}

/// `mdev_unregister_parent()`. On return nothing of the parent is in use.
pub(super) fn unregister(parent: &Parent) {
    Mdev::unregistering(parent);
    if let Some(registration) = Registration::of(parent) {
        registration.end();
        parent.unlink_from_class();
        withdraw(parent, &registration, parent.type_count());
        Mdev::unregistered(registration.dev());
    }
}

/// Makes the parent's files in sysfs, from which on devices are created.
///
/// # Errors
///
/// `ENOMEM`, and those of sysfs; with how many types are in sysfs then.
fn publish(parent: &Parent) -> Result<(), (Error, usize)> {
    let name = c"mdev_supported_types".as_char_ptr();
    // SAFETY: The parent's device is in sysfs, as `mdev_register_parent()` demands; the name is
    // copied.
    let kset = unsafe { bindings::kset_create_and_add(name, core::ptr::null(), parent.folder()) };
    if kset.is_null() {
        return Err((ENOMEM, 0));
    }
    // SAFETY: A field of a valid parent, which is ours while it is registered.
    unsafe { (*parent.as_raw()).mdev_types_kset = kset };
    for (n, ty) in parent.types().enumerate() {
        ty.publish(parent).map_err(|error| (error, n))?;
    }
    Ok(())
}

/// Removes the devices of a parent whose registration has ended, and then its files in sysfs, which
/// waits for all who use them: the folder, if there is one, and the first `types` of its types.
fn withdraw(parent: &Parent, registration: &Registration, types: usize) {
    let cookie = Data::<Withdrawal>::cookie(registration);
    let remove: bindings::device_iter_t = Some(remove_child_callback);
    // SAFETY: The parent's device is valid. The callback gets devices to which the iteration has a
    // reference, and the cookie, whose registration is there until this returns.
    unsafe { bindings::device_for_each_child(parent.dev().as_raw(), cookie, remove) };
    for ty in parent.types().take(types) {
        ty.withdraw();
    }
    // SAFETY: A field of a valid parent.
    let kset = unsafe { (*parent.as_raw()).mdev_types_kset };
    // SAFETY: Made by `publish`, and not used any more; or NULL, which the function accepts.
    unsafe { bindings::kset_unregister(kset) };
}

/// What the callback of `withdraw` is given.
struct Withdrawal;

impl Registered for Withdrawal {
    type Data = Registration;
}

linux::callbacks! {
    /// The function that `device_for_each_child()` calls.
    ///
    /// # Safety
    ///
    /// For [`withdraw`].
    unsafe fn remove_child_callback(
        dev: *mut bindings::device => &kernel::device::Device,
        registration: *mut c_void => Data<'_, Withdrawal>,
    ) -> c_int = remove_child;
}

fn remove_child(dev: &kernel::device::Device, registration: Data<'_, Withdrawal>) -> c_int {
    let mdev = Device::from_dev(dev);
    if let Some(mdev) = mdev.filter(|mdev| mdev.is_of(&registration)) {
        // SAFETY: `withdraw` returns before its caller lets the parent go, and those who make
        // devices have held it until it ended.
        unsafe { mdev.remove() };
    }
    0
}

impl<'call> Blank<'call> {
    fn initialise(
        self,
        dev: &kernel::device::Device,
        driver: &Driver,
        types: Types<'call>,
        count: c_uint,
    ) -> &'call Parent {
        let contents = bindings::mdev_parent {
            dev: dev.as_raw(),
            mdev_driver: driver.as_raw(),
            types: types.0,
            nr_types: count,
            available_instances: bindings::atomic_t {
                counter: driver.max_instances() as i32,
            },
            ..Default::default()
        };
        // SAFETY: Memory for a parent, which nothing else uses.
        unsafe { self.0.write(contents) };
        // SAFETY: A field of what has just been written.
        let lock = unsafe { &raw mut (*self.0.as_ptr()).unreg_sem };
        // SAFETY: Nothing else uses it yet. C code finds a lock there, which we do not take: see
        // `Registration`.
        unsafe { bindings::siov_helper_init_mdev_unreg_sem(lock) };
        // SAFETY: Valid from here on, until after the call.
        unsafe { self.0.cast().as_ref() }
    }
}

impl Parent {
    /// Its device.
    pub(crate) fn dev(&self) -> &kernel::device::Device {
        // SAFETY: A field of a valid parent, which does not change.
        let dev = unsafe { (*self.as_raw()).dev };
        // SAFETY: The device outlives the registration, as `mdev_register_parent()` demands.
        unsafe { kernel::device::Device::from_raw(dev) }
    }

    /// The folder of its device in sysfs.
    fn folder(&self) -> *mut bindings::kobject {
        // SAFETY: A field of a valid device.
        unsafe { &raw mut (*self.dev().as_raw()).kobj }
    }

    /// The driver of its mediated devices.
    pub(super) fn driver(&self) -> &Driver {
        // SAFETY: A field of a valid parent, which does not change.
        let driver = unsafe { (*self.as_raw()).mdev_driver };
        // SAFETY: The driver outlives the registration of its parents.
        unsafe { &*driver.cast() }
    }

    fn type_count(&self) -> usize {
        // SAFETY: A field of a valid parent, which does not change.
        unsafe { (*self.as_raw()).nr_types as usize }
    }

    fn types(&self) -> impl Iterator<Item = &Type> {
        // SAFETY: A field of a valid parent, which does not change.
        let types = unsafe { (*self.as_raw()).types };
        (0..self.type_count()).map(move |n| {
            // SAFETY: The array has so many elements.
            let ty = unsafe { types.add(n) };
            // SAFETY: As above.
            let ty = unsafe { ty.read() };
            // SAFETY: The types are valid as long as the parent is registered.
            unsafe { &*ty.cast() }
        })
    }

    /// Makes the link in `/sys/class/mdev_bus/`.
    ///
    /// # Errors
    ///
    /// `EEXIST` when the name is taken there, `ENOMEM`.
    pub(crate) fn link_to_class(&self) -> Result {
        let class = class().ok_or(ENODEV)?;
        // SAFETY: The class stays as long as parents are registered, and the parent's device
        // exists.
        to_result(unsafe {
            bindings::class_compat_create_link(class.as_ptr(), self.dev().as_raw())
        })
    }

    fn unlink_from_class(&self) {
        if let Some(class) = class() {
            // SAFETY: As in `link_to_class`; nothing happens where there is no link.
            unsafe { bindings::class_compat_remove_link(class.as_ptr(), self.dev().as_raw()) };
        }
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
                // `max_instances` is unsigned and kept in an `atomic_t`.
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

    /// How many instances are left of a driver that does not count itself.
    pub(super) fn instances(&self) -> &AtomicI32 {
        // SAFETY: A field of a valid parent.
        let counter = unsafe { &raw mut (*self.as_raw()).available_instances.counter };
        // SAFETY: Aligned, valid as long as the parent is, and accessed by atomic operations only.
        unsafe { AtomicI32::from_ptr(counter) }
    }
}

/// Sends user space an event "change" of `dev`, with a `variable` in the form `NAME=value`.
///
/// # Errors
///
/// `ENOMEM`, and those of the device's subsystem.
pub(crate) fn send_change(dev: &kernel::device::Device, variable: &CStr) -> Result {
    let mut env: [*mut c_char; 2] = [variable.as_char_ptr().cast_mut(), core::ptr::null_mut()];
    // SAFETY: A field of a valid device.
    let kobj = unsafe { &raw mut (*dev.as_raw()).kobj };
    let action = bindings::kobject_action_KOBJ_CHANGE;
    // SAFETY: The kobject is initialised; the list ends with NULL, and the variable is copied.
    to_result(unsafe { bindings::kobject_uevent_env(kobj, action, env.as_mut_ptr()) })
}

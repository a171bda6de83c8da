// SPDX-License-Identifier: GPL-2.0

//! Mediated devices.

use crate::bus::BUS;
use crate::parent::ParentDev;
use crate::sysfs::Tables;
use crate::{Core, Parent, Shared, Type, Uuid};
use core::marker::PhantomPinned;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::Opaque;
use linux::bindings;

/// A mediated device: `struct mdev_device`, and what we keep beside it.
#[repr(C)]
pub struct Device<T: Core> {
    mdev: Opaque<bindings::mdev_device>,
    parent_dev: ParentDev,
    /// Whether it is in sysfs, with the reference that belongs to that.
    on_bus: AtomicBool,
    state: T::State,
    _pin: PhantomPinned,
}

// SAFETY: The C structure is constant once it is made, or belongs to the driver core, or is atomic.
unsafe impl<T: Core> Send for Device<T> {}
// SAFETY: As above.
unsafe impl<T: Core> Sync for Device<T> {}

/// A reference to a [`Device`].
pub struct DeviceRef<T: Core>(NonNull<Device<T>>);

/// A device that is in sysfs for now: dropping this takes it out again.
pub struct OnBus<'a, T: Core> {
    mdev: DeviceRef<T>,
    // The driver core is told of a new device only while its parent stays.
    parent: &'a Shared<'a>,
}

impl<T: Core> Deref for DeviceRef<T> {
    type Target = Device<T>;

    fn deref(&self) -> &Device<T> {
        // SAFETY: The reference keeps it alive.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Core> Drop for DeviceRef<T> {
    fn drop(&mut self) {
        // SAFETY: Gives back the reference that we hold.
        unsafe { bindings::put_device(self.raw_dev()) };
    }
}

impl<T: Core> Device<T> {
    /// The device of this core behind a `struct device`; `None` for all others.
    ///
    /// # Safety
    ///
    /// `dev` is null or valid for `'a`.
    pub(crate) unsafe fn from_dev<'a>(dev: *mut bindings::device) -> Option<&'a Self> {
        // SAFETY: As required of us.
        let bus = unsafe { dev.as_ref() }?.bus;
        // SAFETY: Devices on our bus are made by `DeviceRef::new`, and the `struct device` comes first.
        (bus == BUS.as_ptr()).then(|| unsafe { &*dev.cast() })
    }

    /// # Safety
    ///
    /// Called by the driver core when the last reference is gone.
    unsafe extern "C" fn release(dev: *mut bindings::device) {
        // SAFETY: As required of us; `DeviceRef::new` leaked it.
        drop(unsafe { KBox::from_raw(dev.cast::<Self>()) });
    }

    pub(crate) fn raw(&self) -> *mut bindings::mdev_device {
        self.mdev.get()
    }

    pub(crate) fn raw_dev(&self) -> *mut bindings::device {
        // SAFETY: Only an address is made.
        unsafe { &raw mut (*self.raw()).dev }
    }

    /// The parent's device, which stays as long as this one.
    pub fn parent_device(&self) -> *mut bindings::device {
        self.parent_dev.as_ptr()
    }

    pub(crate) fn get(&self) -> DeviceRef<T> {
        // SAFETY: The device exists, so a reference may be taken.
        unsafe { bindings::get_device(self.raw_dev()) };
        DeviceRef(NonNull::from(self))
    }

    /// The device, for messages.
    pub fn dev(&self) -> &kernel::device::Device {
        // SAFETY: It is part of this one.
        unsafe { kernel::device::Device::from_raw(self.raw_dev()) }
    }

    /// Its identity.
    pub fn uuid(&self) -> Uuid {
        // SAFETY: Constant since `DeviceRef::new`.
        Uuid(unsafe { (*self.raw()).uuid.b })
    }

    /// What is kept beside the C structure.
    pub fn state(&self) -> &T::State {
        &self.state
    }

    /// Its type. For devices in sysfs only, whose types are registered.
    fn ty(&self) -> &Type {
        // SAFETY: A type is removed after the devices of its parent.
        unsafe { &*(*self.raw()).type_.cast() }
    }

    /// Its parent. For devices in sysfs only.
    pub fn parent(&self) -> &Parent {
        self.ty().parent()
    }

    /// The flag `active`: creation is complete, removal has not begun.
    fn active(&self) -> &AtomicBool {
        // SAFETY: A `bool` of C, which nobody else touches.
        unsafe { AtomicBool::from_ptr(&raw mut (*self.raw()).active) }
    }

    /// Whether creation is complete and removal has not begun.
    pub fn is_active(&self) -> bool {
        self.active().load(Ordering::Acquire)
    }

    /// Whether VFIO, or anybody else, has put it into an IOMMU group and may be using it.
    pub fn is_in_group(&self) -> bool {
        // SAFETY: The device is valid.
        let group = unsafe { bindings::iommu_group_get(self.raw_dev()) };
        if group.is_null() {
            return false;
        }
        // SAFETY: `iommu_group_get()` took a reference.
        unsafe { bindings::iommu_group_put(group) };
        true
    }

    fn link(&self) -> Result {
        let ty = self.ty();
        // SAFETY: Device and type are in sysfs.
        unsafe {
            let name = bindings::siov_helper_dev_name(self.raw_dev());
            let kobj = &raw mut (*self.raw_dev()).kobj;
            to_result(bindings::sysfs_create_link(ty.devices_kobj(), kobj, name))?;
            to_result(bindings::sysfs_create_link(
                kobj,
                ty.raw_kobj(),
                c"mdev_type".as_char_ptr(),
            ))
            .inspect_err(|_| bindings::sysfs_remove_link(ty.devices_kobj(), name))
        }
    }

    /// Takes the device out of sysfs, and from its driver; the caller holds the parent's lock.
    pub(crate) fn remove_locked(&self) {
        if !self.on_bus.swap(false, Ordering::AcqRel) {
            return;
        }
        self.active().store(false, Ordering::Release);
        // SAFETY: The device is in sysfs, with links made by `link`.
        unsafe {
            bindings::sysfs_remove_link(
                &raw mut (*self.raw_dev()).kobj,
                c"mdev_type".as_char_ptr(),
            );
            bindings::sysfs_remove_link(
                self.ty().devices_kobj(),
                bindings::siov_helper_dev_name(self.raw_dev()),
            );
            bindings::device_del(self.raw_dev());
        }
        if let Some(core) = T::slot().get() {
            core.removed(self);
        }
        // The reference that `OnBus::stay` left.
        drop(DeviceRef(NonNull::from(self)));
    }

    /// Removes the device, which its parent's lock keeps from being removed by others.
    pub fn remove(&self, _parent: &Shared<'_>) {
        self.remove_locked();
    }
}

impl<T: Core> DeviceRef<T> {
    /// Makes a device of type `ty`, not yet in sysfs.
    pub fn new(ty: &Type, uuid: Uuid) -> Result<Self> {
        let parent = ty.parent();
        let this = KBox::new(
            Device::<T> {
                mdev: pin_init::zeroed(),
                parent_dev: ParentDev::of(parent).ok_or(ENODEV)?,
                on_bus: AtomicBool::new(false),
                state: T::State::default(),
                _pin: PhantomPinned,
            },
            GFP_KERNEL,
        )?;
        let this = NonNull::from(KBox::leak(this));
        // SAFETY: Nobody else knows the device yet, and it stays where it is until `release`.
        unsafe {
            let mdev = this.as_ref().raw();
            bindings::device_initialize(&raw mut (*mdev).dev);
            (*mdev).dev.parent = parent.raw_dev();
            (*mdev).dev.bus = BUS.as_ptr();
            (*mdev).dev.release = Some(Device::<T>::release);
            (*mdev).dev.groups = Tables::<T>::DEVICE_GROUPS.as_ptr().cast_mut();
            (*mdev).uuid.b = uuid.0;
            (*mdev).next.next = &raw mut (*mdev).next;
            (*mdev).next.prev = &raw mut (*mdev).next;
            (*mdev).type_ = ty.raw();
        }
        let this = Self(this);
        // SAFETY: The device is initialised, and the UUID behind `%pUl` lives as long.
        to_result(unsafe {
            bindings::dev_set_name(
                this.raw_dev(),
                c"%pUl".as_char_ptr(),
                &raw const (*this.raw()).uuid,
            )
        })?;
        Ok(this)
    }

    /// Puts the device into sysfs.
    pub fn register<'a>(self, parent: &'a Shared<'a>) -> Result<OnBus<'a, T>> {
        // SAFETY: The device has a name and was not added before, since only `new` returns such a
        // reference.
        to_result(unsafe { bindings::device_add(self.raw_dev()) })?;
        Ok(OnBus { mdev: self, parent })
    }
}

impl<T: Core> OnBus<'_, T> {
    /// Binds the driver of the parent.
    pub fn bind(&self) -> Result {
        let driver = &raw const self.mdev.parent().driver().driver;
        let _ = self.parent;
        // SAFETY: Driver and device are registered.
        to_result(unsafe { bindings::device_driver_attach(driver, self.mdev.raw_dev()) })
    }

    /// Lets the device stay, with links to and from its type.
    pub fn stay(self) -> Result {
        self.mdev.link()?;
        let this = core::mem::ManuallyDrop::new(self);
        this.mdev.on_bus.store(true, Ordering::Release);
        this.mdev.active().store(true, Ordering::Release);
        // The reference in `mdev` is now the one that `Device::remove_locked` gives back.
        Ok(())
    }
}

impl<T: Core> Drop for OnBus<'_, T> {
    fn drop(&mut self) {
        // SAFETY: Added in `DeviceRef::register`.
        unsafe { bindings::device_del(self.mdev.raw_dev()) };
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Mediated devices.

use crate::sys::bus::BUS;
use crate::sys::sysfs::Tables;
use crate::sys::{Core, Parent, Shared, Type, Uuid};
use core::marker::{PhantomData, PhantomPinned};
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::types::Opaque;
use linux::abi::{callback1, Object};
use linux::bindings;
use linux::iommu::Group;
use linux::kobject::Kobject;

// SAFETY: Initialised before there is a reference, and constant then, or atomic, or the driver core's.
linux::c_objects!(unsafe {
    /// `struct mdev_device`.
    pub(crate) struct Mdev(bindings::mdev_device);
});

// SAFETY: Constant. A type is removed after the devices of its parent, and asked for by those that are
// in sysfs only.
linux::c_parts!(unsafe impl Mdev: bindings::mdev_device {
    fn dev() -> &kernel::device::Device = &dev;
    fn ty() -> &Type = *type_;
    fn active() -> &AtomicBool = &active;
});

// SAFETY: Constant.
linux::c_fields!(unsafe impl Mdev: bindings::mdev_device {
    fn uuid() -> [u8; 16] = uuid.b;
});

/// A mediated device: `struct mdev_device`, and what we keep beside it.
#[repr(C)]
pub(crate) struct Device<T: Core> {
    mdev: Mdev,
    parent_dev: ARef<kernel::device::Device>,
    /// Whether it is in sysfs, with the reference that belongs to that.
    on_bus: AtomicBool,
    state: T::State,
    _pin: PhantomPinned,
}

// SAFETY: It comes first in the `struct mdev_device`, which comes first here.
unsafe impl<T: Core> Object<bindings::device> for Device<T> {}

/// A reference to a [`Device`].
pub(crate) struct DeviceRef<T: Core>(ARef<kernel::device::Device>, PhantomData<Device<T>>);

/// A device that is in sysfs for now: dropping this takes it out again.
pub(crate) struct OnBus<'a, T: Core> {
    mdev: DeviceRef<T>,
    // The driver core is told of a new device only while its parent stays.
    parent: &'a Shared<'a>,
}

impl<T: Core> Deref for DeviceRef<T> {
    type Target = Device<T>;

    fn deref(&self) -> &Device<T> {
        // SAFETY: References are made to such devices only, which it keeps alive.
        unsafe { &*self.0.as_raw().cast() }
    }
}

impl<T: Core> Device<T> {
    /// The device of this core behind a `struct device`; `None` for all others.
    pub(crate) fn from_dev(dev: &kernel::device::Device) -> Option<&Self> {
        let dev = dev.as_raw();
        // SAFETY: A device stays on its bus. Those on ours are made by `DeviceRef::new`, and the
        // `struct device` comes first.
        unsafe { ((*dev).bus == BUS.as_ptr()).then(|| &*dev.cast()) }
    }

    /// Called by the driver core when the last reference is gone.
    extern "C" fn release(dev: *mut bindings::device) {
        // SAFETY: `DeviceRef::new` left it to the driver core.
        drop(unsafe { KBox::from_raw(dev.cast::<Self>()) });
    }

    /// The parent's device, which stays as long as this one.
    pub(crate) fn parent_device(&self) -> *mut bindings::device {
        self.parent_dev.as_raw()
    }

    pub(crate) fn get(&self) -> DeviceRef<T> {
        DeviceRef(self.dev().into(), PhantomData)
    }

    /// The device, for messages.
    pub(crate) fn dev(&self) -> &kernel::device::Device {
        self.mdev.dev()
    }

    /// Its identity.
    pub(crate) fn uuid(&self) -> Uuid {
        Uuid(self.mdev.uuid())
    }

    /// What is kept beside the C structure.
    pub(crate) fn state(&self) -> &T::State {
        &self.state
    }

    /// Its parent. For devices in sysfs only.
    pub(crate) fn parent(&self) -> &Parent {
        self.mdev.ty().parent()
    }

    /// Whether creation is complete and removal has not begun.
    pub(crate) fn is_active(&self) -> bool {
        self.mdev.active().load(Ordering::Acquire)
    }

    /// Whether VFIO, or anybody else, has put it into an IOMMU group and may be using it.
    pub(crate) fn is_in_group(&self) -> bool {
        Group::has(self.dev())
    }

    fn link(&self) -> Result {
        let (ty, folder) = (self.mdev.ty(), Kobject::of(self.dev()));
        ty.devices().link(folder, self.dev().name())?;
        folder
            .link(ty.kobj(), c"mdev_type")
            .inspect_err(|_| ty.devices().unlink(self.dev().name()))
    }

    /// Takes the device out of sysfs, and from its driver; the caller holds the parent's lock.
    pub(crate) fn remove_locked(&self) {
        if !self.on_bus.swap(false, Ordering::AcqRel) {
            return;
        }
        self.mdev.active().store(false, Ordering::Release);
        Kobject::of(self.dev()).unlink(c"mdev_type");
        self.mdev.ty().devices().unlink(self.dev().name());
        // SAFETY: The device is in sysfs, with the reference that `OnBus::stay` left, which is ours now.
        let _reference = unsafe {
            bindings::device_del(self.as_raw());
            ARef::from_raw(NonNull::from(self.dev()))
        };
        if let Some(core) = T::slot().get() {
            core.removed(self);
        }
    }

    /// Removes the device, which its parent's lock keeps from being removed by others.
    pub(crate) fn remove(&self, _parent: &Shared<'_>) {
        self.remove_locked();
    }
}

impl<T: Core> DeviceRef<T> {
    /// Makes a device of type `ty`, not yet in sysfs.
    pub(crate) fn new(ty: &Type, uuid: Uuid) -> Result<Self> {
        let parent = ty.parent();
        let this = KBox::new(
            Device::<T> {
                mdev: Mdev(Opaque::zeroed()),
                parent_dev: parent.dev().into(),
                on_bus: AtomicBool::new(false),
                state: T::State::default(),
                _pin: PhantomPinned,
            },
            GFP_KERNEL,
        )?;
        let mdev: *mut bindings::mdev_device = KBox::into_raw(this).cast();
        // SAFETY: Nobody else knows the device yet, and it stays where it is until `release`. The one
        // reference that it begins with is ours. The UUID behind `%pUl` lives as long.
        let (this, named) = unsafe {
            bindings::device_initialize(&raw mut (*mdev).dev);
            (*mdev).dev.parent = parent.dev().as_raw();
            (*mdev).dev.bus = BUS.as_ptr();
            (*mdev).dev.release = Some(callback1(Device::<T>::release));
            (*mdev).dev.groups = Tables::<T>::DEVICE_GROUPS.as_ptr().cast_mut();
            (*mdev).uuid.b = uuid.0;
            (*mdev).next.next = &raw mut (*mdev).next;
            (*mdev).next.prev = &raw mut (*mdev).next;
            (*mdev).type_ = ty.as_raw();
            let (format, uuid) = (c"%pUl".as_char_ptr(), &raw const (*mdev).uuid);
            let named = bindings::dev_set_name(&raw mut (*mdev).dev, format, uuid);
            (ARef::from_raw(NonNull::new_unchecked(mdev.cast())), named)
        };
        // Without a name it goes again.
        to_result(named).map(|()| Self(this, PhantomData))
    }

    /// Puts the device into sysfs.
    pub(crate) fn register<'a>(self, parent: &'a Shared<'a>) -> Result<OnBus<'a, T>> {
        // SAFETY: The device has a name and was not added before, since only `new` returns such a
        // reference.
        to_result(unsafe { bindings::device_add(self.as_raw()) })?;
        Ok(OnBus { mdev: self, parent })
    }
}

impl<T: Core> OnBus<'_, T> {
    /// Binds the driver of the parent.
    pub(crate) fn bind(&self) -> Result {
        let (driver, dev) = (self.mdev.parent().driver().as_raw(), self.mdev.as_raw());
        let _ = self.parent;
        // SAFETY: Driver and device are registered.
        to_result(unsafe { bindings::device_driver_attach(&raw const (*driver).driver, dev) })
    }

    /// Lets the device stay, with links to and from its type.
    pub(crate) fn stay(self) -> Result {
        self.mdev.link()?;
        let this = core::mem::ManuallyDrop::new(self);
        this.mdev.on_bus.store(true, Ordering::Release);
        this.mdev.mdev.active().store(true, Ordering::Release);
        // The reference in `mdev` is now the one that `Device::remove_locked` gives back.
        Ok(())
    }
}

impl<T: Core> Drop for OnBus<'_, T> {
    fn drop(&mut self) {
        // SAFETY: Added in `DeviceRef::register`.
        unsafe { bindings::device_del(self.mdev.as_raw()) };
    }
}

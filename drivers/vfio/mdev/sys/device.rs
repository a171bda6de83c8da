// SPDX-License-Identifier: GPL-2.0

//! Mediated devices.

use crate::sys::bus::BUS;
use crate::sys::registration::{Held, Registration};
use crate::sys::sysfs::DEVICE_GROUPS;
use crate::sys::types::HeldType;
use crate::sys::{driver, Core, Type, Uuid};
use crate::Mdev;
use core::marker::PhantomPinned;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::{ARef, AlwaysRefCounted};
use kernel::sync::Arc;
use kernel::types::Opaque;
use linux::bindings;
use linux::callback::{Call, FromC};
use linux::module::Reference;
use linux::object::Object;

/// A mediated device: `struct mdev_device`, and what we keep in addition.
#[repr(C)]
pub(crate) struct Device {
    mdev: Opaque<bindings::mdev_device>,
    registration: Arc<Registration>,
    /// Whether it is in sysfs, which keeps a reference.
    in_sysfs: AtomicBool,
    /// What `mdev_set_iommu_domain()` has set.
    domain: AtomicPtr<bindings::iommu_domain>,
    state: <Mdev as Core>::State,
    _pin: PhantomPinned,
    // Of `release_callback`. Dropped last, and waited for by `Bus`.
    _module: Reference,
}

// SAFETY: It begins with a transparent `Opaque`. There are devices that `NewDevice::new` has
// initialised only.
unsafe impl Object<bindings::mdev_device> for Device {}
// SAFETY: As above; the `struct device` comes first in a `struct mdev_device`.
unsafe impl Object<bindings::device> for Device {}

// SAFETY: The driver core counts references, in any thread.
unsafe impl AlwaysRefCounted for Device {
    fn inc_ref(&self) {
        // SAFETY: A valid device.
        unsafe { bindings::get_device(self.as_raw()) };
    }

    unsafe fn dec_ref(mdev: NonNull<Self>) {
        // SAFETY: As required of us: the caller has a reference. The `struct device` comes first.
        unsafe { bindings::put_device(mdev.cast().as_ptr()) };
    }
}

/// Any device, or none: the [`Device`] that it is, if it is one.
///
/// As a parameter of a callback it demands a pointer that is NULL, or leads to a device that is
/// valid until the call ends.
#[derive(Clone, Copy)]
pub(crate) struct MaybeMediated<'call>(Option<&'call Device>);

impl<'call> FromC<'call, *mut bindings::device> for MaybeMediated<'call> {
    unsafe fn from_c(c: *mut bindings::device, call: &'call Call) -> Self {
        // SAFETY: As required of us.
        let dev: Option<&kernel::device::Device> = unsafe { FromC::from_c(c, call) };
        Self(dev.and_then(Device::from_dev))
    }
}

impl<'call> MaybeMediated<'call> {
    /// The mediated device; `None` for all others.
    pub(crate) fn get(self) -> Option<&'call Device> {
        self.0
    }
}

/// `mdev_parent_device()`. The parent stays as long as the mediated device.
pub(super) fn parent_device(dev: MaybeMediated<'_>) -> *mut bindings::device {
    dev.get().map_or(core::ptr::null_mut(), |mdev| {
        mdev.registration.dev().as_raw()
    })
}

/// `mdev_set_iommu_domain()`. The domain stays until another is set, or NULL.
pub(super) fn set_iommu_domain(dev: MaybeMediated<'_>, domain: *mut bindings::iommu_domain) {
    if let Some(mdev) = dev.get() {
        mdev.domain.store(domain, Ordering::Release);
    }
}

/// `mdev_get_iommu_domain()`.
pub(super) fn get_iommu_domain(dev: MaybeMediated<'_>) -> *mut bindings::iommu_domain {
    dev.get().map_or(core::ptr::null_mut(), |mdev| {
        mdev.domain.load(Ordering::Acquire)
    })
}

impl Device {
    /// The mediated device of this core behind a `struct device`; `None` for all others.
    pub(super) fn from_dev(dev: &kernel::device::Device) -> Option<&Self> {
        let dev = dev.as_raw();
        // SAFETY: A field of a valid device, which stays on its bus.
        let bus = unsafe { (*dev).bus };
        // SAFETY: `NewDevice::new` makes all devices of our bus, and their `struct device` comes
        // first.
        (bus == BUS.as_ptr()).then(|| unsafe { &*dev.cast() })
    }

    /// The device, for messages.
    pub(crate) fn dev(&self) -> &kernel::device::Device {
        // SAFETY: A valid device, as long as this one.
        unsafe { kernel::device::Device::from_raw(self.as_raw()) }
    }

    /// Its identity.
    pub(crate) fn uuid(&self) -> Uuid {
        let mdev: *mut bindings::mdev_device = self.as_raw();
        // SAFETY: A field of a valid device, which does not change.
        Uuid(unsafe { (*mdev).uuid.b })
    }

    /// What is kept in addition to the C structure.
    pub(crate) fn state(&self) -> &<Mdev as Core>::State {
        &self.state
    }

    /// Whether creation is complete and removal has not begun.
    pub(crate) fn is_active(&self) -> bool {
        self.active().load(Ordering::Acquire)
    }

    fn active(&self) -> &AtomicBool {
        let mdev: *mut bindings::mdev_device = self.as_raw();
        // SAFETY: A field of a valid device.
        let active = unsafe { &raw mut (*mdev).active };
        // SAFETY: As valid as the device, and accessed by us alone, or read by C code.
        unsafe { AtomicBool::from_ptr(active) }
    }

    /// Whether VFIO, or another subsystem, has put it into an IOMMU group and may be using it.
    pub(crate) fn is_in_group(&self) -> bool {
        let dev: *mut bindings::device = self.as_raw();
        // SAFETY: A field of a valid device.
        let group = unsafe { &raw const (*dev).iommu_group };
        // SAFETY: As above; C code stores it as a whole.
        !unsafe { group.read_volatile() }.is_null()
    }

    /// Whether it belongs to the parent with this registration.
    pub(super) fn is_of(&self, registration: &Registration) -> bool {
        core::ptr::eq(&*self.registration, registration)
    }

    /// Keeps the parent from being unregistered; `None` when that has begun.
    pub(super) fn hold(&self) -> Option<Held> {
        Registration::hold(&self.registration)
    }

    /// # Safety
    ///
    /// The parent is not unregistered while the result is in use.
    unsafe fn ty(&self) -> &Type {
        let mdev: *mut bindings::mdev_device = self.as_raw();
        // SAFETY: A field of a valid device, which does not change.
        let ty = unsafe { (*mdev).type_ };
        // SAFETY: Registered, as required of us.
        unsafe { &*ty.cast() }
    }

    fn kobj(&self) -> *mut bindings::kobject {
        let dev: *mut bindings::device = self.as_raw();
        // SAFETY: A field of a valid device.
        unsafe { &raw mut (*dev).kobj }
    }

    /// Removes the device from its driver and from sysfs, once; nothing happens to one that has
    /// been removed.
    ///
    /// # Safety
    ///
    /// The parent is not unregistered before this returns. The device is active, or nothing else
    /// makes links to it: its [`AddedDevice`] is being dropped, or was dropped or forgotten.
    pub(super) unsafe fn remove(&self) {
        if !self.in_sysfs.swap(false, Ordering::AcqRel) {
            return;
        }
        self.active().store(false, Ordering::Release);
        // SAFETY: As required of us.
        let ty = unsafe { self.ty() };
        self.unlink(ty);
        // SAFETY: In sysfs, and we alone remove it, because of `in_sysfs`.
        unsafe { bindings::device_del(self.as_raw()) };
        Mdev::removed(self, ty.parent());
        // SAFETY: The reference that `NewDevice::add` left for `in_sysfs`.
        drop(unsafe { ARef::from_raw(NonNull::from(self)) });
    }

    /// Makes the links to and from its type.
    fn link(&self, ty: &Type) -> Result {
        let devices = NonNull::new(ty.devices().load(Ordering::Acquire)).ok_or(ENODEV)?;
        let name = self.dev().name().as_char_ptr();
        // SAFETY: The folder is in sysfs as long as the type is, and so is this device, which is
        // not removed before it is active. The name is copied.
        to_result(unsafe { bindings::sysfs_create_link(devices.as_ptr(), self.kobj(), name) })?;
        let name = c"mdev_type".as_char_ptr();
        // SAFETY: As above.
        to_result(unsafe { bindings::sysfs_create_link(self.kobj(), ty.kobj(), name) })
    }

    /// Removes the links, as far as there are some; the device is in sysfs.
    fn unlink(&self, ty: &Type) {
        // SAFETY: In sysfs, and we alone remove it.
        unsafe { bindings::sysfs_remove_link(self.kobj(), c"mdev_type".as_char_ptr()) };
        if let Some(devices) = NonNull::new(ty.devices().load(Ordering::Acquire)) {
            let name = self.dev().name().as_char_ptr();
            // SAFETY: The folder is in sysfs as long as the type is.
            unsafe { bindings::sysfs_remove_link(devices.as_ptr(), name) };
        }
    }
}

/// A device without references.
///
/// As a parameter of a callback it demands a pointer to a device that [`NewDevice::new`] has made,
/// which C code passes once.
struct Released(KBox<Device>);

impl FromC<'_, *mut bindings::device> for Released {
    unsafe fn from_c(c: *mut bindings::device, _call: &Call) -> Self {
        // SAFETY: As required of us; the `struct device` comes first.
        Self(unsafe { KBox::from_raw(c.cast()) })
    }
}

linux::callbacks! {
    /// `device::release`.
    ///
    /// # Safety
    ///
    /// For devices that [`NewDevice::new`] makes: the driver core calls it when the last reference
    /// is gone.
    unsafe fn release_callback(dev: *mut bindings::device => Released) = free;
}

fn free(mdev: Released) {
    drop(mdev.0);
}

/// A new device that is not in sysfs.
pub(crate) struct NewDevice<'a> {
    mdev: ARef<Device>,
    ty: &'a HeldType<'a>,
}

/// A new device that is in sysfs. Dropping this removes it, unless it was [kept](Self::keep).
pub(crate) struct AddedDevice<'a> {
    mdev: ARef<Device>,
    // What keeps the parent registered meanwhile.
    ty: &'a HeldType<'a>,
}

impl<'a> NewDevice<'a> {
    /// Makes a device of type `ty`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENODEV` when this module is being unloaded.
    pub(super) fn new(ty: &'a HeldType<'_>, uuid: Uuid) -> Result<Self> {
        let registration = ty.held().registration();
        let parent = registration.dev().as_raw();
        let this = KBox::new(
            Device {
                mdev: Opaque::zeroed(),
                registration,
                in_sysfs: AtomicBool::new(false),
                domain: AtomicPtr::new(core::ptr::null_mut()),
                state: Default::default(),
                _pin: PhantomPinned,
                _module: Reference::new()?,
            },
            GFP_KERNEL,
        )?;
        let this = NonNull::from(KBox::leak(this));
        let mdev: *mut bindings::mdev_device = this.cast().as_ptr();
        // SAFETY: A field of a device that nothing else uses.
        let dev = unsafe { &raw mut (*mdev).dev };
        // SAFETY: It is zeroed, and stays where it is until `free`.
        unsafe { bindings::device_initialize(dev) };
        // SAFETY: As above; our registration keeps the parent's device.
        unsafe { (*dev).parent = parent };
        // SAFETY: As above; the bus outlives its devices.
        unsafe { (*dev).bus = BUS.as_ptr() };
        // SAFETY: As above; a device of ours.
        unsafe { (*dev).release = Some(release_callback) };
        // SAFETY: As above; the files are constant.
        unsafe { (*dev).groups = DEVICE_GROUPS.as_ptr().cast_mut() };
        // SAFETY: As above.
        unsafe { (*mdev).uuid.b = uuid.0 };
        // SAFETY: As above.
        unsafe { (*mdev).type_ = ty.ty().as_raw() };
        // SAFETY: As above.
        let next = unsafe { &raw mut (*mdev).next };
        // SAFETY: As above: an empty list, which is not used.
        unsafe { next.write(bindings::list_head { next, prev: next }) };
        // SAFETY: `device_initialize()` leaves us one reference.
        let this = unsafe { ARef::from_raw(this) };
        // SAFETY: As above.
        let uuid = unsafe { &raw const (*mdev).uuid };
        // SAFETY: Nothing else uses the device; a UUID belongs to the format, and is copied as
        // text.
        to_result(unsafe { bindings::dev_set_name(dev, c"%pUl".as_char_ptr(), uuid) })?;
        Ok(Self { mdev: this, ty })
    }

    /// Puts the device into sysfs.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and those of the driver core.
    pub(crate) fn add(self) -> Result<AddedDevice<'a>> {
        let Self { mdev, ty } = self;
        // SAFETY: The device has a name and was not added before, since only `NewDevice::new` makes
        // an `NewDevice`.
        to_result(unsafe { bindings::device_add(mdev.as_raw()) })?;
        // The reference that `Device::remove` drops.
        let _ = ARef::into_raw(mdev.clone());
        mdev.in_sysfs.store(true, Ordering::Release);
        Ok(AddedDevice { mdev, ty })
    }
}

impl AddedDevice<'_> {
    /// Binds the parent's driver.
    ///
    /// # Errors
    ///
    /// Those of the driver.
    pub(crate) fn bind(&self) -> Result {
        let driver = self.ty.held().parent().driver();
        // SAFETY: In sysfs until `drop`: it is not removed before it is active, and with its parent
        // only when that is not held any more.
        unsafe { driver::attach(driver, self.mdev.as_raw()) }
    }

    /// Makes the links to and from its type, and keeps the device in sysfs.
    ///
    /// # Errors
    ///
    /// Those of sysfs, and `ENODEV` for a type that is still being registered. The device is
    /// removed then.
    pub(crate) fn keep(self) -> Result {
        self.mdev.link(self.ty.ty())?;
        self.mdev.active().store(true, Ordering::Release);
        Ok(())
    }
}

impl Drop for AddedDevice<'_> {
    fn drop(&mut self) {
        if !self.mdev.is_active() {
            // SAFETY: We hold the parent, and make no links any more.
            unsafe { self.mdev.remove() };
        }
    }
}

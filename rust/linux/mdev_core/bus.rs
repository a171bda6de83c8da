// SPDX-License-Identifier: GPL-2.0

//! The bus that mediated devices are on, and the class `mdev_bus` whose links lead to parents.

use crate::Core;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::error::to_result;
use kernel::prelude::*;
use linux::bindings;

/// Where C code, which brings a device and nothing else, finds the instance of the core.
pub struct Slot<T: Core> {
    core: AtomicPtr<T>,
    class: AtomicPtr<bindings::class_compat>,
}

impl<T: Core> Slot<T> {
    /// No instance.
    pub const fn new() -> Self {
        Self {
            core: AtomicPtr::new(core::ptr::null_mut()),
            class: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// The instance, while its [`Bus`] is registered.
    pub fn get(&self) -> Option<&T> {
        // SAFETY: Set for the lifetime of a `Bus`, which keeps the instance. Whoever calls is code of
        // the module itself, or of one that depends on it, so the module is not being unloaded.
        unsafe { self.core.load(Ordering::Acquire).as_ref() }
    }

    pub(crate) fn class(&self) -> *mut bindings::class_compat {
        self.class.load(Ordering::Acquire)
    }
}

impl<T: Core> Default for Slot<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// A registered core. Dropping it takes the bus away, when no driver and no parent is left: modules
/// that register some depend on this one.
pub struct Bus<T: Core> {
    class: NonNull<bindings::class_compat>,
    // Where the slot points to.
    _core: Pin<KBox<T>>,
}

// SAFETY: The class belongs to the C side, which locks it.
unsafe impl<T: Core> Send for Bus<T> {}
// SAFETY: As above.
unsafe impl<T: Core> Sync for Bus<T> {}

impl<T: Core> Bus<T> {
    /// Registers the bus `mdev` and the class `mdev_bus`.
    ///
    /// # Errors
    ///
    /// `EBUSY` when there is another instance, `ENOMEM`, and those of `bus_register()`.
    pub fn register(core: impl PinInit<T, Error>) -> Result<Self> {
        let core = KBox::pin_init(core, GFP_KERNEL)?;
        // SAFETY: `BUS` is a static of the module.
        to_result(unsafe { bindings::bus_register(BUS.as_ptr()) })?;
        // SAFETY: The name lives for ever.
        let class = unsafe { bindings::class_compat_register(c"mdev_bus".as_char_ptr()) };
        let Some(class) = NonNull::new(class) else {
            // SAFETY: Registered above; nothing is on it yet.
            unsafe { bindings::bus_unregister(BUS.as_ptr()) };
            return Err(ENOMEM);
        };
        let slot = T::slot();
        slot.class.store(class.as_ptr(), Ordering::Release);
        slot.core
            .store((&raw const *core).cast_mut(), Ordering::Release);
        Ok(Self { class, _core: core })
    }
}

impl<T: Core> Drop for Bus<T> {
    fn drop(&mut self) {
        let slot = T::slot();
        slot.core.store(core::ptr::null_mut(), Ordering::Release);
        slot.class.store(core::ptr::null_mut(), Ordering::Release);
        // SAFETY: Both were registered in `register`, and no driver or parent is left, since their
        // modules depend on this one.
        unsafe {
            bindings::class_compat_unregister(self.class.as_ptr());
            bindings::bus_unregister(BUS.as_ptr());
        }
    }
}

#[repr(transparent)]
pub(crate) struct BusType(bindings::bus_type);

// SAFETY: Never written.
unsafe impl Sync for BusType {}

impl BusType {
    pub(crate) fn as_ptr(&self) -> *const bindings::bus_type {
        &raw const self.0
    }
}

// Kernel code takes `as_char_ptr()`, which is not const.
#[allow(clippy::disallowed_methods)]
pub(crate) static BUS: BusType = BusType(bindings::bus_type {
    name: c"mdev".as_ptr().cast(),
    match_: Some(match_none),
    probe: Some(probe),
    remove: Some(remove),
    ..pin_init::zeroed()
});

/// # Safety
///
/// `dev` is a mediated device with a driver.
unsafe fn driver_of<'a>(dev: *mut bindings::device) -> &'a bindings::mdev_driver {
    // SAFETY: Drivers of this bus are embedded in a `struct mdev_driver`, which stays while bound.
    unsafe { &*kernel::container_of!((*dev).driver, bindings::mdev_driver, driver).cast_const() }
}

/// # Safety
///
/// Called by the driver core.
unsafe extern "C" fn match_none(
    _dev: *mut bindings::device,
    _drv: *const bindings::device_driver,
) -> i32 {
    // Drivers are bound by device_driver_attach() alone: a device belongs to its parent's driver.
    0
}

/// # Safety
///
/// Called by the driver core for a device of this bus that it binds.
unsafe extern "C" fn probe(dev: *mut bindings::device) -> i32 {
    // SAFETY: As required of us.
    match unsafe { driver_of(dev) }.probe {
        // SAFETY: A device of this bus is the first field of a `struct mdev_device`.
        Some(probe) => unsafe { probe(dev.cast()) },
        None => 0,
    }
}

/// # Safety
///
/// Called by the driver core for a device of this bus that it unbinds.
unsafe extern "C" fn remove(dev: *mut bindings::device) {
    // SAFETY: As required of us.
    if let Some(remove) = unsafe { driver_of(dev) }.remove {
        // SAFETY: A device of this bus is the first field of a `struct mdev_device`.
        unsafe { remove(dev.cast()) };
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The bus that mediated devices are on, and the class `mdev_bus` whose links lead to parents.

use crate::sys::c::{self, Class, OnBus};
use crate::sys::Core;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::error::to_result;
use kernel::prelude::*;
use linux::abi::{callback1, callback2};
use linux::bindings;

/// Where C code, which brings a device and nothing else, finds the instance of the core.
pub(crate) struct Slot<T: Core> {
    core: AtomicPtr<T>,
    class: AtomicPtr<bindings::class_compat>,
}

impl<T: Core> Slot<T> {
    /// No instance.
    pub(crate) const fn new() -> Self {
        Self {
            core: AtomicPtr::new(core::ptr::null_mut()),
            class: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// The instance, while its [`Bus`] is registered.
    pub(crate) fn get(&self) -> Option<&T> {
        // SAFETY: Set for the lifetime of a `Bus`, which keeps the instance. Whoever calls is code of
        // the module itself, or of one that depends on it, so the module is not being unloaded.
        unsafe { self.core.load(Ordering::Acquire).as_ref() }
    }

    pub(crate) fn class(&self) -> Option<&Class> {
        // SAFETY: As above; the bus keeps the class as well.
        unsafe { self.class.load(Ordering::Acquire).cast::<Class>().as_ref() }
    }
}

impl<T: Core> Default for Slot<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// A registered core. Dropping it takes the bus away, when no driver and no parent is left: modules
/// that register some depend on this one.
pub(crate) struct Bus<T: Core> {
    // Where the slot points to.
    _core: Pin<KBox<T>>,
}

impl<T: Core> Bus<T> {
    /// Registers the bus `mdev` and the class `mdev_bus`.
    ///
    /// # Errors
    ///
    /// `EBUSY` when there is another instance, `ENOMEM`, and those of `bus_register()`.
    pub(crate) fn register(core: impl PinInit<T, Error>) -> Result<Self> {
        let core = KBox::pin_init(core, GFP_KERNEL)?;
        // SAFETY: `BUS` is a static of the module.
        to_result(unsafe { bindings::bus_register(BUS.as_ptr()) })?;
        let class = c::class_compat_register(c"mdev_bus");
        if class.is_null() {
            // SAFETY: Registered above; nothing is on it yet.
            unsafe { bindings::bus_unregister(BUS.as_ptr()) };
            return Err(ENOMEM);
        }
        let slot = T::slot();
        slot.class.store(class, Ordering::Release);
        slot.core
            .store((&raw const *core).cast_mut(), Ordering::Release);
        Ok(Self { _core: core })
    }
}

impl<T: Core> Drop for Bus<T> {
    fn drop(&mut self) {
        let slot = T::slot();
        slot.core.store(core::ptr::null_mut(), Ordering::Release);
        let class = slot.class.swap(core::ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: Both were registered in `register`, and no driver or parent is left, since their
        // modules depend on this one.
        unsafe {
            bindings::class_compat_unregister(class);
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
    match_: Some(callback2(match_none)),
    probe: Some(callback1(probe)),
    remove: Some(callback1(remove)),
    ..pin_init::zeroed()
});

extern "C" fn match_none(
    _dev: *mut bindings::device,
    _driver: *const bindings::device_driver,
) -> i32 {
    // Drivers are bound by device_driver_attach() alone: a device belongs to its parent's driver.
    0
}

extern "C" fn probe(mdev: OnBus<'_>) -> i32 {
    mdev.driver().probe().map_or(0, |probe| probe(mdev))
}

extern "C" fn remove(mdev: OnBus<'_>) {
    if let Some(remove) = mdev.driver().remove() {
        remove(mdev);
    }
}

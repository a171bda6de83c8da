// SPDX-License-Identifier: GPL-2.0

//! Registering a driver of parents.

use crate::types::Type;
use crate::{Driver, Mdev};
use core::marker::PhantomData;
use kernel::error::{from_result, to_result};
use kernel::ffi::{c_char, c_int, c_uint};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;
use linux::bindings;
use linux::callback::{Call, FromC};
use linux::module::{InUse, Kind};
use linux::object::Object;
use linux::sysfs::Page;
use linux_vfio::device::register_emulated;

/// The structure of a driver that is registered, or is about to be.
#[repr(transparent)]
struct MdevDriver(Opaque<bindings::mdev_driver>);

// SAFETY: A transparent `Opaque`, initialised when it is made.
unsafe impl Object<bindings::mdev_driver> for MdevDriver {}

/// A registered driver. Parents keep a reference to it.
///
/// # Invariants
///
/// The driver is registered.
pub struct DriverRegistration<D: Driver> {
    driver: KBox<MdevDriver>,
    _driver: PhantomData<fn(D)>,
    _in_use: InUse,
}

// SAFETY: The structure belongs to the mdev core, which is called in any thread.
unsafe impl<D: Driver> Send for DriverRegistration<D> {}
// SAFETY: As above.
unsafe impl<D: Driver> Sync for DriverRegistration<D> {}

impl<D: Driver> DriverRegistration<D> {
    /// Registers the driver, whose code is of `module`.
    ///
    /// # Errors
    ///
    /// `EBUSY` when a driver of this name is registered, `ENOMEM`.
    pub fn new(module: &'static ThisModule) -> Result<Arc<Self>> {
        let driver = MdevDriver(Opaque::new(bindings::mdev_driver {
            device_api: D::DEVICE_API.as_char_ptr(),
            probe: Some(Self::probe_callback),
            get_available: Some(Self::get_available_callback),
            show_description: Some(Self::show_description_callback),
            driver: bindings::device_driver {
                name: D::NAME.as_char_ptr(),
                owner: module.as_ptr(),
                mod_name: D::NAME.as_char_ptr(),
                ..Default::default()
            },
            ..Default::default()
        }));
        let driver = KBox::new(driver, GFP_KERNEL)?;
        let _in_use = InUse::new(Kind::MdevDriver);
        // SAFETY: The box keeps its place, and `drop` unregisters.
        to_result(unsafe { bindings::mdev_register_driver(driver.as_raw()) })?;
        // INVARIANT: Registered just now.
        let this = Self {
            driver,
            _driver: PhantomData,
            _in_use,
        };
        Ok(Arc::new(this, GFP_KERNEL)?)
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::mdev_driver {
        self.driver.as_raw()
    }

    linux::callbacks! {
        /// `mdev_driver::probe`.
        ///
        /// # Safety
        ///
        /// For the driver of a `DriverRegistration<D>`: the mdev core calls it for devices of its
        /// parents, which are being bound, and whose parents stay registered meanwhile.
        unsafe fn probe_callback(mdev: *mut bindings::mdev_device => New<'_, D>) -> c_int
            = Self::probe;

        /// `mdev_driver::get_available`.
        ///
        /// # Safety
        ///
        /// For the driver of a `DriverRegistration<D>`: the mdev core calls it for types of its
        /// parents, which stay registered meanwhile.
        unsafe fn get_available_callback(ty: *mut bindings::mdev_type => Registered<'_, D>) -> c_uint
            = Self::get_available;

        /// `mdev_driver::show_description`.
        ///
        /// # Safety
        ///
        /// As [`Self::get_available_callback`], with a page that sysfs has given to the mdev core.
        unsafe fn show_description_callback(
            ty: *mut bindings::mdev_type => Registered<'_, D>,
            page: *mut c_char => Page<'_>,
        ) -> isize = Self::show_description;
    }

    fn probe(new: New<'_, D>) -> c_int {
        from_result(|| {
            let ty = new.ty();
            let device = D::create(ty.parent(), ty.0.info().ty, new.0)?;
            register_emulated(new.0.dev(), device)?;
            Ok(0)
        })
    }

    fn get_available(ty: Registered<'_, D>) -> c_uint {
        D::available(ty.parent(), ty.0.info().ty)
    }

    fn show_description(ty: Registered<'_, D>, page: Page<'_>) -> isize {
        page.line(ty.0.info().description.to_bytes()).bytes()
    }
}

impl<D: Driver> Drop for DriverRegistration<D> {
    fn drop(&mut self) {
        // SAFETY: Registered, by the invariant. Parents have a reference, so there is none.
        unsafe { bindings::mdev_unregister_driver(self.as_raw()) };
    }
}

/// A type of a parent that is registered.
///
/// As a parameter of a callback it demands a pointer to a [`Type<D>`](Type), whose parent is
/// registered until the call ends.
struct Registered<'call, D: Driver>(&'call Type<D>);

impl<'call, D: Driver> FromC<'call, *mut bindings::mdev_type> for Registered<'call, D> {
    unsafe fn from_c(c: *mut bindings::mdev_type, _call: &'call Call) -> Self {
        // SAFETY: As required of us.
        Self(unsafe { &*c.cast() })
    }
}

impl<'call, D: Driver> Registered<'call, D> {
    fn parent(&self) -> &'call Arc<D::Parent> {
        // SAFETY: Registered until the call ends.
        unsafe { self.0.parent() }
    }
}

/// A device that is being bound.
///
/// As a parameter of a callback it demands a pointer to a device that is being bound to its driver
/// until the call ends, and whose type is as [`Registered`] demands.
struct New<'call, D: Driver>(&'call Mdev, PhantomData<D>);

impl<'call, D: Driver> FromC<'call, *mut bindings::mdev_device> for New<'call, D> {
    unsafe fn from_c(c: *mut bindings::mdev_device, _call: &'call Call) -> Self {
        // SAFETY: As required of us.
        Self(unsafe { &*c.cast() }, PhantomData)
    }
}

impl<'call, D: Driver> New<'call, D> {
    fn ty(&self) -> Registered<'call, D> {
        // SAFETY: A field of a valid device, which does not change.
        let ty = unsafe { (*self.0.as_raw()).type_ };
        // SAFETY: Of a parent that is registered until the call ends.
        Registered(unsafe { &*ty.cast() })
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Offering a device as parent.

use crate::driver::DriverRegistration;
use crate::types::Type;
use crate::Driver;
use core::marker::PhantomPinned;
use core::sync::atomic::AtomicPtr;
use kernel::device::{Bound, Device};
use kernel::devres::Devres;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use kernel::types::Opaque;
use linux::bindings;
use linux::module;
use linux::object::Object;

/// What the mdev core is given of a parent, and the driver's data.
#[repr(C)]
pub(crate) struct Offered<D: Driver> {
    parent: Opaque<bindings::mdev_parent>,
    types: KVec<Type<D>>,
    // An array of pointers, for C code.
    list: KVec<AtomicPtr<bindings::mdev_type>>,
    data: Arc<D::Parent>,
    driver: Arc<DriverRegistration<D>>,
    dev: ARef<Device>,
    _pin: PhantomPinned,
}

// SAFETY: It begins with a transparent `Opaque`, which the mdev core initialises.
unsafe impl<D: Driver> Object<bindings::mdev_parent> for Offered<D> {}

impl<D: Driver> Offered<D> {
    fn new(
        dev: &Device,
        driver: &Arc<DriverRegistration<D>>,
        data: Arc<D::Parent>,
    ) -> Result<KBox<Self>> {
        let mut types = KVec::with_capacity(D::TYPES.len(), GFP_KERNEL)?;
        for info in D::TYPES {
            types.push(Type::new(info), GFP_KERNEL)?;
        }
        let mut list = KVec::with_capacity(types.len(), GFP_KERNEL)?;
        for ty in &types {
            list.push(AtomicPtr::new(ty.as_raw()), GFP_KERNEL)?;
        }
        let this = Self {
            parent: Opaque::zeroed(),
            types,
            list,
            data,
            driver: driver.clone(),
            dev: dev.into(),
            _pin: PhantomPinned,
        };
        Ok(KBox::new(this, GFP_KERNEL)?)
    }

    pub(crate) fn data(&self) -> &Arc<D::Parent> {
        &self.data
    }
}

/// A parent that is registered with the mdev core, until this is dropped.
struct Registered<D: Driver>(KBox<Offered<D>>);

// SAFETY: The C structures belong to the mdev core, which is called in any thread; the driver's
// data is `Send` and `Sync`.
unsafe impl<D: Driver> Send for Registered<D> {}
// SAFETY: As above; a shared reference is good for nothing.
unsafe impl<D: Driver> Sync for Registered<D> {}

impl<D: Driver> Registered<D> {
    fn new(offered: KBox<Offered<D>>) -> Result<Self> {
        let types = offered.list.as_ptr().cast_mut().cast();
        let count = u32::try_from(offered.list.len())?;
        let (parent, dev) = (offered.as_raw(), (*offered.dev).as_raw());
        let driver = offered.driver.as_raw();
        // SAFETY: The structures stay where they are until `drop`: they are in a box, and the
        // vectors do not grow. It has references to device and driver. The device is in sysfs, as
        // its driver is bound.
        to_result(unsafe { bindings::mdev_register_parent(parent, dev, driver, types, count) })?;
        Ok(Self(offered))
    }
}

impl<D: Driver> Drop for Registered<D> {
    fn drop(&mut self) {
        // SAFETY: Registered in `new`, and unregistered here alone. On return nothing of it is in
        // use.
        unsafe { bindings::mdev_unregister_parent(self.0.as_raw()) };
    }
}

/// A registered parent. Dropping it removes its devices, which waits until their users have closed
/// them.
///
/// What the devices work with is dropped after this. A driver that does not drop it leaves that to
/// the driver core, which does the same when the driver has been unbound.
pub struct ParentRegistration<D: Driver> {
    _registered: Devres<Registered<D>>,
}

impl<D: Driver> ParentRegistration<D> {
    /// Offers `dev` as parent.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the driver of `dev` is not code of this module, which may be unloaded while
    /// `dev` is bound then; `ENOMEM`, and those of sysfs.
    pub fn new(
        dev: &Device<Bound>,
        driver: &Arc<DriverRegistration<D>>,
        data: Arc<D::Parent>,
    ) -> Result<Self> {
        if !module::has_driver_of(dev) {
            return Err(EINVAL);
        }
        let registered = Registered::new(Offered::new(dev, driver, data)?)?;
        Ok(Self {
            _registered: Devres::new(dev, registered)?,
        })
    }
}

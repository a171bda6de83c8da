// SPDX-License-Identifier: GPL-2.0

//! The types of devices that parents offer.

use crate::parent::Offered;
use crate::Driver;
use core::marker::PhantomData;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;
use linux::bindings;
use linux::object::Object;

/// A type of devices that a driver offers.
#[derive(Clone, Copy, Debug)]
pub struct TypeInfo<T> {
    /// What the driver knows it by.
    pub ty: T,
    /// Its name in sysfs, which follows that of the parent's driver.
    pub name: &'static CStr,
    /// Its human-readable name (sysfs `name`).
    pub pretty: &'static CStr,
    /// What it is, in a line (sysfs `description`).
    pub description: &'static CStr,
}

/// A `struct mdev_type` of a parent that is registered, or will be.
#[repr(C)]
pub(crate) struct Type<D: Driver> {
    mdev_type: Opaque<bindings::mdev_type>,
    info: &'static TypeInfo<D::Type>,
    _driver: PhantomData<D>,
}

// SAFETY: It begins with a transparent `Opaque`.
unsafe impl<D: Driver> Object<bindings::mdev_type> for Type<D> {}

impl<D: Driver> Type<D> {
    pub(crate) fn new(info: &'static TypeInfo<D::Type>) -> Self {
        Self {
            mdev_type: Opaque::new(bindings::mdev_type {
                sysfs_name: info.name.as_char_ptr(),
                pretty_name: info.pretty.as_char_ptr(),
                ..Default::default()
            }),
            info,
            _driver: PhantomData,
        }
    }

    pub(crate) fn info(&self) -> &'static TypeInfo<D::Type> {
        self.info
    }

    /// The data of the parent.
    ///
    /// # Safety
    ///
    /// The parent is registered, as long as the result is in use.
    pub(crate) unsafe fn parent(&self) -> &Arc<D::Parent> {
        // SAFETY: A field of a valid type, which the mdev core has set.
        let parent = unsafe { (*self.as_raw()).parent };
        // SAFETY: The type is part of an `Offered`, which begins with the parent and stays while
        // that is registered.
        let offered: &Offered<D> = unsafe { &*parent.cast() };
        offered.data()
    }
}

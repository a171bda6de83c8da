// SPDX-License-Identifier: GPL-2.0

//! Offering a device as parent.

use crate::driver::DriverRegistration;
use crate::Driver;
use core::marker::PhantomPinned;
use kernel::device::{Bound, Device};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use kernel::types::Opaque;
use linux::{bindings, raw};

/// One `struct mdev_type`, and its place in [`Driver::TYPES`].
#[repr(C)]
struct Type {
    ty: Opaque<bindings::mdev_type>,
    index: usize,
}

/// What the C side knows of a parent, and ours.
#[pin_data]
#[repr(C)]
struct Registered<D: Driver> {
    parent: Opaque<bindings::mdev_parent>,
    types: KVec<Type>,
    list: KVec<*mut bindings::mdev_type>,
    data: Arc<D::Parent>,
    driver: Arc<DriverRegistration<D>>,
    dev: ARef<Device>,
    #[pin]
    _pin: PhantomPinned,
}

/// A registered parent. Dropping it removes its devices, which waits until their users let go.
pub struct ParentRegistration<D: Driver>(Pin<KBox<Registered<D>>>);

// SAFETY: The C structures belong to the mdev core, which locks them.
unsafe impl<D: Driver> Send for ParentRegistration<D> {}
// SAFETY: As above.
unsafe impl<D: Driver> Sync for ParentRegistration<D> {}

impl<D: Driver> ParentRegistration<D> {
    /// Offers `dev` as parent. To be dropped before the driver of `dev` is unbound.
    pub fn new(
        dev: &Device<Bound>,
        driver: &Arc<DriverRegistration<D>>,
        data: Arc<D::Parent>,
    ) -> Result<Self> {
        let mut types = KVec::with_capacity(D::TYPES.len(), GFP_KERNEL)?;
        for index in 0..D::TYPES.len() {
            let ty = Opaque::zeroed();
            types.push(Type { ty, index }, GFP_KERNEL)?;
        }
        let mut list = KVec::with_capacity(D::TYPES.len(), GFP_KERNEL)?;
        for (ty, info) in types.iter().zip(D::TYPES) {
            // SAFETY: Nobody else knows the structure yet.
            unsafe {
                (*ty.ty.get()).sysfs_name = info.name.as_char_ptr();
                (*ty.ty.get()).pretty_name = info.pretty.as_char_ptr();
            }
            list.push(ty.ty.get(), GFP_KERNEL)?;
        }
        let this = KBox::pin_init(
            pin_init!(Registered::<D> {
                parent: Opaque::zeroed(),
                types,
                list,
                data,
                driver: driver.clone(),
                dev: (&**dev).into(),
                _pin: PhantomPinned,
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: The structures stay where they are until `drop`: ours is pinned, and the vectors do
        // not grow. We hold references to device and driver.
        let ret = unsafe {
            bindings::mdev_register_parent(
                this.parent.get(),
                raw::device(dev),
                driver.raw(),
                this.list.as_ptr().cast_mut(),
                u32::try_from(this.list.len())?,
            )
        };
        // Without a registration, dropping must not end one.
        to_result(ret).map(|()| Self(this))
    }

    /// The driver's data.
    pub fn data(&self) -> &Arc<D::Parent> {
        &self.0.data
    }
}

impl<D: Driver> Drop for ParentRegistration<D> {
    fn drop(&mut self) {
        // SAFETY: Registered in `new`.
        unsafe { bindings::mdev_unregister_parent(self.0.parent.get()) };
    }
}

/// Place and parent of a type.
///
/// # Safety
///
/// `ty` is a type of a parent of driver `D`, which is registered for `'a`.
pub(crate) unsafe fn type_of<'a, D: Driver>(
    ty: *mut bindings::mdev_type,
) -> (usize, &'a Arc<D::Parent>) {
    // SAFETY: As required of us: both C structures are the first fields of ours.
    unsafe {
        let registered = (*ty).parent.cast::<Registered<D>>();
        ((*ty.cast::<Type>()).index, &(*registered).data)
    }
}

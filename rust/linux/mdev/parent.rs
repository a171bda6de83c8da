// SPDX-License-Identifier: GPL-2.0

//! Offering a device as parent.

use crate::c::{MdevParent, MdevType};
use crate::driver::DriverRegistration;
use crate::Driver;
use core::marker::{PhantomData, PhantomPinned};
use core::sync::atomic::AtomicPtr;
use kernel::device::{Bound, Device};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use linux::abi::Object;
use linux::bindings;

/// One `struct mdev_type` of a parent that is registered, and its place in [`Driver::TYPES`].
#[repr(C)]
pub(crate) struct Type<D: Driver> {
    ty: MdevType,
    index: usize,
    _driver: PhantomData<Arc<D::Parent>>,
}

// SAFETY: It comes first.
unsafe impl<D: Driver> Object<bindings::mdev_type> for Type<D> {}

impl<D: Driver> Type<D> {
    /// Its place and its parent.
    pub(crate) fn get(&self) -> (usize, &Arc<D::Parent>) {
        // SAFETY: The mdev core has set the parent, which comes first in what we keep for one.
        let registered = unsafe { &*(*self.as_raw()).parent.cast::<Registered<D>>() };
        (self.index, &registered.data)
    }
}

/// What the C side knows of a parent, and ours.
#[pin_data]
#[repr(C)]
struct Registered<D: Driver> {
    parent: MdevParent,
    types: KVec<Type<D>>,
    // An array of pointers to C code.
    list: KVec<AtomicPtr<bindings::mdev_type>>,
    data: Arc<D::Parent>,
    driver: Arc<DriverRegistration<D>>,
    dev: ARef<Device>,
    #[pin]
    _pin: PhantomPinned,
}

/// A registered parent. Dropping it removes its devices, which waits until their users let go.
pub struct ParentRegistration<D: Driver>(Pin<KBox<Registered<D>>>);

impl<D: Driver> ParentRegistration<D> {
    /// Offers `dev` as parent. To be dropped before the driver of `dev` is unbound.
    pub fn new(
        dev: &Device<Bound>,
        driver: &Arc<DriverRegistration<D>>,
        data: Arc<D::Parent>,
    ) -> Result<Self> {
        let mut types = KVec::with_capacity(D::TYPES.len(), GFP_KERNEL)?;
        for (index, info) in D::TYPES.iter().enumerate() {
            let ty = Type::<D> {
                ty: MdevType::new(info),
                index,
                _driver: PhantomData,
            };
            types.push(ty, GFP_KERNEL)?;
        }
        let mut list = KVec::with_capacity(types.len(), GFP_KERNEL)?;
        for ty in &types {
            list.push(AtomicPtr::new(ty.as_raw()), GFP_KERNEL)?;
        }
        let this = KBox::pin_init(
            pin_init!(Registered::<D> {
                parent: MdevParent::new(),
                types,
                list,
                data,
                driver: driver.clone(),
                dev: (&**dev).into(),
                _pin: PhantomPinned,
            }),
            GFP_KERNEL,
        )?;
        let (types, count) = (
            this.list.as_ptr().cast_mut().cast(),
            u32::try_from(this.list.len())?,
        );
        // SAFETY: The structures stay where they are until `drop`: ours is pinned, and the vectors do
        // not grow. We hold references to device and driver.
        to_result(unsafe {
            bindings::mdev_register_parent(
                this.parent.as_raw(),
                dev.as_raw(),
                driver.as_raw(),
                types,
                count,
            )
        })?;
        // Without a registration, dropping would end one.
        Ok(Self(this))
    }

    /// The driver's data.
    pub fn data(&self) -> &Arc<D::Parent> {
        &self.0.data
    }
}

impl<D: Driver> Drop for ParentRegistration<D> {
    fn drop(&mut self) {
        // SAFETY: Registered in `new`.
        unsafe { bindings::mdev_unregister_parent(self.0.parent.as_raw()) };
    }
}

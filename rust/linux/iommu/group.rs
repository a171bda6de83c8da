// SPDX-License-Identifier: GPL-2.0

//! Groups of devices that the IOMMU cannot tell apart.

use crate::abi::{callback2, DataMut, Object};
use crate::bindings;
use core::ptr::NonNull;
use kernel::device::Device;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::{ARef, AlwaysRefCounted};

// SAFETY: A group is counted and locks itself.
crate::c_objects!(unsafe {
    /// `struct iommu_group`.
    pub struct Group(bindings::iommu_group);
});

mod c {
    use super::{Device, Group};
    use crate::bindings;

    // SAFETY: These want a device and a group that exist; references are returned, or null.
    crate::c_functions!(unsafe {
        pub(super) fn iommu_group_get(dev: &Device) -> *mut bindings::iommu_group;
        pub(super) fn iommu_group_ref_get(group: &Group) -> *mut bindings::iommu_group;
        pub(super) fn iommu_group_id(group: &Group) -> i32;
        pub(super) fn iommu_group_has_isolated_msi(group: &Group) -> bool;
        pub(super) fn iommu_group_dma_owner_claimed(group: &Group) -> bool;
    });
}

// SAFETY: C code counts references, in any thread.
unsafe impl AlwaysRefCounted for Group {
    fn inc_ref(&self) {
        c::iommu_group_ref_get(self);
    }

    unsafe fn dec_ref(group: NonNull<Self>) {
        // SAFETY: As required of us: the caller has a reference.
        unsafe { bindings::iommu_group_put(group.cast().as_ptr()) };
    }
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Eq for Group {}

impl Group {
    /// That of a device, if it has one.
    pub fn of(dev: &Device) -> Option<ARef<Self>> {
        let group = NonNull::new(c::iommu_group_get(dev))?;
        // SAFETY: With a reference for us.
        Some(unsafe { ARef::from_raw(group.cast()) })
    }

    /// The number under which user space knows it.
    pub fn id(&self) -> i32 {
        c::iommu_group_id(self)
    }

    /// Whether the interrupts of each device are kept from those of others.
    pub fn has_isolated_interrupts(&self) -> bool {
        c::iommu_group_has_isolated_msi(self)
    }

    /// Whether somebody holds the DMA of its devices: drivers that use the DMA API, or user space.
    pub fn dma_is_claimed(&self) -> bool {
        c::iommu_group_dma_owner_claimed(self)
    }

    /// What `f` says of the first device, which cannot leave the group meanwhile; `None` without devices.
    pub fn with_first_device<R, F: FnOnce(&Device) -> R>(&self, f: F) -> Option<R> {
        extern "C" fn first<R, F: FnOnce(&Device) -> R>(
            dev: &Device,
            mut call: DataMut<'_, (Option<F>, Option<R>)>,
        ) -> i32 {
            call.1 = call.0.take().map(|f| f(dev));
            // No further ones.
            1
        }
        let mut call = (Some(f), None);
        let (data, first) = ((&raw mut call).cast(), callback2(first::<R, F>));
        // SAFETY: `first` gets the call, and a device that exists.
        unsafe { bindings::iommu_group_for_each_dev(self.as_raw(), data, Some(first)) };
        call.1
    }

    /// The devices of the group.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn devices(&self) -> Result<KVec<ARef<Device>>> {
        extern "C" fn collect(dev: &Device, mut list: DataMut<'_, KVec<ARef<Device>>>) -> i32 {
            match list.push(dev.into(), GFP_KERNEL) {
                Ok(()) => 0,
                Err(_) => ENOMEM.to_errno(),
            }
        }
        let mut list = KVec::new();
        let (data, collect) = ((&raw mut list).cast(), callback2(collect));
        // SAFETY: `collect` gets the list, and devices that exist.
        to_result(unsafe { bindings::iommu_group_for_each_dev(self.as_raw(), data, Some(collect)) })?;
        Ok(list)
    }
}

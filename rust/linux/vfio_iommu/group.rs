// SPDX-License-Identifier: GPL-2.0

//! Groups of devices that the IOMMU cannot tell apart (`struct iommu_group`).

use core::ptr::NonNull;
use kernel::device::Device;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use linux::bindings;

/// A counted reference to a group. Equal references are to the same group.
#[derive(PartialEq, Eq)]
pub struct Group(NonNull<bindings::iommu_group>);

// SAFETY: A group is counted and locks itself.
unsafe impl Send for Group {}
// SAFETY: As above.
unsafe impl Sync for Group {}

impl Group {
    /// # Safety
    ///
    /// `raw` is a valid group.
    pub(crate) unsafe fn from_raw(raw: *mut bindings::iommu_group) -> Option<Self> {
        let raw = NonNull::new(raw)?;
        // SAFETY: As required of us.
        unsafe { bindings::iommu_group_ref_get(raw.as_ptr()) };
        Some(Self(raw))
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::iommu_group {
        self.0.as_ptr()
    }

    /// The number under which user space knows it.
    pub fn id(&self) -> i32 {
        // SAFETY: The group is valid.
        unsafe { bindings::iommu_group_id(self.as_ptr()) }
    }

    /// Whether the interrupts of each device are kept from those of others.
    pub fn has_isolated_interrupts(&self) -> bool {
        // SAFETY: The group is valid.
        unsafe { bindings::iommu_group_has_isolated_msi(self.as_ptr()) }
    }

    /// The devices of the group.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn devices(&self) -> Result<KVec<ARef<Device>>> {
        /// # Safety
        ///
        /// `device` is valid, and `list` that of the caller below.
        unsafe extern "C" fn collect(
            device: *mut bindings::device,
            list: *mut core::ffi::c_void,
        ) -> i32 {
            // SAFETY: The list is that of the caller below, which waits for us.
            let list = unsafe { &mut *list.cast::<KVec<ARef<Device>>>() };
            // SAFETY: The group's devices are valid while they are iterated over.
            match list.push(unsafe { Device::get_device(device) }, GFP_KERNEL) {
                Ok(()) => 0,
                Err(_) => ENOMEM.to_errno(),
            }
        }
        let mut list = KVec::new();
        // SAFETY: The group is valid, and `collect` gets the list it expects.
        kernel::error::to_result(unsafe {
            bindings::iommu_group_for_each_dev(self.as_ptr(), (&raw mut list).cast(), Some(collect))
        })?;
        Ok(list)
    }
}

impl Clone for Group {
    fn clone(&self) -> Self {
        // SAFETY: The group is valid.
        unsafe { bindings::iommu_group_ref_get(self.as_ptr()) };
        Self(self.0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: The reference is ours.
        unsafe { bindings::iommu_group_put(self.as_ptr()) };
    }
}

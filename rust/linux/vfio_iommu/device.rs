// SPDX-License-Identifier: GPL-2.0

//! Devices whose drivers pin pages, and want to know before a mapping goes (`struct vfio_device` with
//! `dma_unmap`).

use crate::container::DeviceRef;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use kernel::types::Opaque;
use linux::bindings;

/// The devices of a container.
#[pin_data]
pub struct Devices {
    #[pin]
    list: Mutex<List>,
}

/// # Invariants
///
/// Once pinned and initialised, a list of registered devices, linked by their `iommu_entry`.
#[pin_data]
struct List {
    #[pin]
    head: Opaque<bindings::list_head>,
}

// SAFETY: Devices unregister before they go, and the mutex guards the list.
unsafe impl Send for List {}

impl Devices {
    /// None.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- new_mutex!(
                pin_init!(List {
                    // SAFETY: The list head is initialised in its place.
                    head <- Opaque::ffi_init(|head| unsafe {
                        bindings::siov_vfio_device_list_init(head);
                    }),
                }),
                "vfio_iommu_type1 devices"
            ),
        })
    }

    /// Adds a device. It must be taken away with [`Self::remove`] before it goes, which VFIO sees to.
    pub fn add(&self, device: &DeviceRef) {
        let list = self.list.lock();
        // SAFETY: The device is valid and in no list: VFIO registers a device once.
        unsafe { bindings::siov_vfio_device_list_add(device.as_ptr(), list.head.get()) };
    }

    /// Takes a device away that was added.
    pub fn remove(&self, device: &DeviceRef) {
        let _list = self.list.lock();
        // SAFETY: The device is in the list, as VFIO unregisters what it has registered.
        unsafe { bindings::siov_vfio_device_list_del(device.as_ptr()) };
    }

    /// Locks the list. While it is locked no device goes.
    pub fn lock(&self) -> Locked<'_> {
        Locked(self.list.lock())
    }
}

/// A locked list of devices.
pub struct Locked<'a>(kernel::sync::lock::Guard<'a, List, kernel::sync::lock::mutex::MutexBackend>);

impl Locked<'_> {
    /// Has each driver unpin what it has pinned of `size` bytes from `iova` on. They call back, so the
    /// caller holds no lock that unpinning takes.
    pub fn dma_unmap(&self, iova: u64, size: u64) {
        // SAFETY: The list is valid and locked, and has only devices with this operation.
        unsafe { bindings::siov_vfio_device_list_dma_unmap(self.0.head.get(), iova, size) };
    }
}

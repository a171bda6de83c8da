// SPDX-License-Identifier: GPL-2.0

//! Devices whose drivers pin pages, and want to know before a mapping goes (`struct vfio_device` with
//! `dma_unmap`).

pub(crate) use crate::sys::c::VfioDevice;

use crate::sys::c;
use kernel::interop::list::CListHead;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use linux::abi::Object;
use linux::bindings;

/// The devices of a container.
#[pin_data]
pub(crate) struct Devices {
    #[pin]
    list: Mutex<List>,
}

/// # Invariants
///
/// Once pinned and initialised, a list of registered devices, linked by their `iommu_entry`. They
/// unregister before they go, and the mutex guards the list.
#[pin_data]
struct List {
    #[pin]
    head: CListHead,
}

impl VfioDevice {
    /// Whether its driver pins pages and has to be told before they go.
    pub(crate) fn pins(&self) -> bool {
        c::siov_vfio_device_pins(self)
    }
}

impl Devices {
    /// None.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- new_mutex!(
                pin_init!(List {
                    head <- CListHead::new(),
                }),
                "vfio_iommu_type1 devices"
            ),
        })
    }

    /// Adds a device.
    ///
    /// # Safety
    ///
    /// The device is in no list, and is taken away with [`Self::remove`] before it goes.
    pub(crate) unsafe fn add(&self, device: &VfioDevice) {
        let list = self.list.lock();
        // SAFETY: As required of us; the list is locked.
        unsafe { bindings::siov_vfio_device_list_add(device.as_raw(), list.head.as_raw()) };
    }

    /// Takes a device away.
    ///
    /// # Safety
    ///
    /// The device was added to this list.
    pub(crate) unsafe fn remove(&self, device: &VfioDevice) {
        let _list = self.list.lock();
        // SAFETY: As required of us; the list is locked.
        unsafe { bindings::siov_vfio_device_list_del(device.as_raw()) };
    }

    /// Locks the list. While it is locked no device goes.
    pub(crate) fn lock(&self) -> Locked<'_> {
        Locked(self.list.lock())
    }
}

/// A locked list of devices.
pub(crate) struct Locked<'a>(
    kernel::sync::lock::Guard<'a, List, kernel::sync::lock::mutex::MutexBackend>,
);

impl Locked<'_> {
    /// Has each driver unpin what it has pinned of `size` bytes from `iova` on. They call back, so the
    /// caller holds no lock that unpinning takes.
    pub(crate) fn dma_unmap(&self, iova: u64, size: u64) {
        // SAFETY: The list is valid and locked, and has only devices with this operation.
        unsafe { bindings::siov_vfio_device_list_dma_unmap(self.0.head.as_raw(), iova, size) };
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Devices whose drivers pin pages, and are notified before a mapping is removed (`struct
//! vfio_device` with `dma_unmap`).

use kernel::interop::list::CListHead;
use kernel::prelude::*;
use kernel::sync::lock::mutex::MutexBackend;
use kernel::sync::lock::Guard;
use kernel::sync::{new_mutex, Mutex};
use kernel::types::Opaque;
use linux::bindings;
use linux::object::Object;
use siov_types::Iova;

/// A device of VFIO's (`struct vfio_device`).
#[repr(transparent)]
pub(super) struct VfioDevice(Opaque<bindings::vfio_device>);

// SAFETY: A transparent `Opaque`.
unsafe impl Object<bindings::vfio_device> for VfioDevice {}

impl VfioDevice {
    /// Whether its driver pins pages and has to be notified before they are unmapped.
    pub(super) fn pins(&self) -> bool {
        // SAFETY: A valid device, whose operations do not change.
        unsafe { bindings::siov_vfio_device_pins(self.as_raw()) }
    }
}

/// The devices of a container.
#[pin_data]
pub(crate) struct Devices {
    #[pin]
    list: Mutex<List>,
}

/// # Invariants
///
/// Once pinned and initialised, a list of registered devices with a `dma_unmap` operation, linked
/// by their `iommu_entry`. They unregister before they are freed, and the mutex guards the list.
#[pin_data]
struct List {
    #[pin]
    head: CListHead,
}

impl Devices {
    /// An empty list.
    pub(super) fn new() -> impl PinInit<Self> {
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
    /// The device has a `dma_unmap` operation and is in no list, and is removed with
    /// [`Self::remove`] before it is freed and before this is dropped.
    pub(super) unsafe fn add(&self, device: &VfioDevice) {
        let list = self.list.lock();
        // SAFETY: As required of us; the list is locked.
        unsafe { bindings::siov_vfio_device_list_add(device.as_raw(), list.head.as_raw()) };
    }

    /// Removes a device.
    ///
    /// # Safety
    ///
    /// The device was added to this list.
    pub(super) unsafe fn remove(&self, device: &VfioDevice) {
        let _list = self.list.lock();
        // SAFETY: As required of us; the list is locked.
        unsafe { bindings::siov_vfio_device_list_del(device.as_raw()) };
    }

    /// Locks the list. While it is locked no device is removed.
    pub(crate) fn lock(&self) -> Locked<'_> {
        Locked(self.list.lock())
    }
}

/// A locked list of devices.
pub(crate) struct Locked<'a>(Guard<'a, List, MutexBackend>);

impl Locked<'_> {
    /// Has each driver unpin what it has pinned of `size` bytes from `iova` on. They call back, so
    /// the caller holds no lock that unpinning takes.
    pub(crate) fn dma_unmap(&self, iova: Iova, size: u64) {
        let head = self.0.head.as_raw();
        // SAFETY: By the invariant of the list, which is locked.
        unsafe { bindings::siov_vfio_device_list_dma_unmap(head, iova.raw(), size) };
    }
}

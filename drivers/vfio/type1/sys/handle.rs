// SPDX-License-Identifier: GPL-2.0

//! Open containers, by the numbers that VFIO knows them by.
//!
//! VFIO reads a container's data and calls its driver with them, for a request of user space,
//! without a lock: the last group may leave meanwhile, with which the container is released. A
//! driver that gave out an address would work on freed memory then, or on another container. A
//! number is used once, and finds nothing after its container was released.
//!
//! Lock order: [`Table::opening`], then [`Table::entries`], inside of which no other lock is taken.

use super::device::Devices;
use super::ioas::IoasId;
use super::ops::{Container, Opening};
use core::ffi::c_void;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::prelude::*;
use kernel::sync::{new_mutex, new_spinlock, Arc, Mutex, SpinLock};
use linux::callback::{Call, FromC};
use linux::vec;

/// What VFIO passes for a container, in a function that it calls: a number, or NULL for none.
pub(super) struct Handle<'call>(*mut c_void, PhantomData<&'call Call>);

/// Any pointer, in a function that VFIO calls while the driver is registered.
impl<'call> FromC<'call, *mut c_void> for Handle<'call> {
    #[inline(always)]
    unsafe fn from_c(c: *mut c_void, _call: &'call Call) -> Self {
        Self(c, PhantomData)
    }
}

impl Handle<'_> {
    pub(super) fn is_null(&self) -> bool {
        self.0.is_null()
    }

    /// The number, which no other container has had.
    pub(super) fn number(&self) -> usize {
        self.0 as usize
    }
}

/// What VFIO passes for a container that it opens (`VFIO_SET_IOMMU`).
pub(super) struct Kind<'call>(usize, PhantomData<&'call Call>);

/// Any number, in a function that VFIO calls while the driver is registered.
impl<'call> FromC<'call, usize> for Kind<'call> {
    unsafe fn from_c(c: usize, _call: &'call Call) -> Self {
        Self(c, PhantomData)
    }
}

/// Bits of a number that say where its container is in the table; those above are never the same
/// again.
const INDEX_BITS: u32 = 20;
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;

/// An open container.
struct Opened<T> {
    container: Arc<T>,
    devices: Arc<Devices>,
}

struct Entry<T> {
    number: usize,
    opened: Option<Opened<T>>,
}

#[pin_data]
struct Table<T: Container> {
    /// How many have been opened.
    #[pin]
    opening: Mutex<usize>,
    /// A request costs one look into this.
    #[pin]
    entries: SpinLock<KVec<Entry<T>>>,
}

/// Where the functions that VFIO calls, which get a number and nothing else, find the open
/// containers.
///
/// # Invariants
///
/// NULL, or the table of an [`Open`], which resets it before the table is freed. As long as C code
/// calls one of these functions, no `Open` is dropped.
pub(crate) struct Slot<T: Container>(AtomicPtr<Table<T>>);

impl<T: Container> Slot<T> {
    /// For a driver that is not registered.
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// # Safety
    ///
    /// What is returned is not used after the call of VFIO's in which this is called.
    #[inline]
    unsafe fn table(&self) -> Option<&Table<T>> {
        // SAFETY: By the invariant: this is a call of C code.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// Opens a container; what VFIO is to know it by.
    ///
    /// # Errors
    ///
    /// Those of [`Container::open`], `ENOMEM`, `ENFILE` for more than a million.
    pub(super) fn open(&self, kind: Kind<'_>) -> Result<*mut c_void> {
        // SAFETY: Not used after the call that `kind` is borrowed from.
        let table = unsafe { self.table() }.ok_or(ENODEV)?;
        let mut opening = table.opening.lock();
        vec::reserve(&table.entries, |entries| entries)?;
        let index = {
            let entries = table.entries.lock();
            let free = entries.iter().position(|entry| entry.opened.is_none());
            // It stays free: containers are opened one by one.
            free.unwrap_or(entries.len())
        };
        if index > INDEX_MASK {
            return Err(ENFILE);
        }
        // There is no time to open so many that a number would look like an error.
        *opening += 1;
        let number = *opening << INDEX_BITS | index;

        let devices = Arc::pin_init(Devices::new(), GFP_KERNEL)?;
        let container = T::open(
            kind.0,
            Opening {
                // SAFETY: The number was not used before.
                id: unsafe { IoasId::new(number) },
                devices: devices.clone(),
            },
        )?;
        let entry = Entry {
            number,
            opened: Some(Opened { container, devices }),
        };
        let mut entries = table.entries.lock();
        match entries.get_mut(index) {
            Some(free) => *free = entry,
            None => entries.push_within_capacity(entry).map_err(|_| ENOMEM)?,
        }
        Ok(core::ptr::without_provenance_mut(number))
    }

    /// What `f` finds in the entry of a container that has not been released.
    #[inline]
    fn with<R>(
        &self,
        handle: &Handle<'_>,
        f: impl FnOnce(&mut Option<Opened<T>>) -> Option<R>,
    ) -> Option<R> {
        let number = handle.number();
        // SAFETY: Not used after the call that `handle` is borrowed from.
        let mut entries = unsafe { self.table() }?.entries.lock();
        let entry = entries.get_mut(number & INDEX_MASK)?;
        if entry.number != number {
            return None;
        }
        f(&mut entry.opened)
    }

    /// The container, unless it has been released.
    #[inline]
    pub(super) fn find(&self, handle: &Handle<'_>) -> Option<Arc<T>> {
        self.with(handle, |opened| Some(opened.as_ref()?.container.clone()))
    }

    /// The container and its devices, unless it has been released.
    pub(super) fn find_devices(&self, handle: &Handle<'_>) -> Option<(Arc<T>, Arc<Devices>)> {
        self.with(handle, |opened| {
            let opened = opened.as_ref()?;
            Some((opened.container.clone(), opened.devices.clone()))
        })
    }

    /// Releases a container. It is dropped with the last request that is being worked on.
    pub(super) fn release(&self, handle: &Handle<'_>) {
        // Dropped here, with the lock released.
        drop(self.with(handle, Option::take));
    }
}

/// The open containers of a driver, in its slot as long as this lives.
pub(super) struct Open<T: Container> {
    _table: Pin<KBox<Table<T>>>,
    slot: &'static Slot<T>,
}

impl<T: Container> Open<T> {
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Safety
    ///
    /// There is no other one, and C code calls no function that uses the slot when this is dropped.
    pub(super) unsafe fn new() -> Result<Self> {
        let _table = KBox::pin_init(
            pin_init!(Table {
                opening <- new_mutex!(0, "vfio_iommu_type1 opening"),
                entries <- new_spinlock!(KVec::new(), "vfio_iommu_type1 containers"),
            }),
            GFP_KERNEL,
        )?;
        let slot = T::slot();
        let raw = core::ptr::from_ref::<Table<T>>(&_table).cast_mut();
        slot.0.store(raw, Ordering::Release);
        Ok(Self { _table, slot })
    }
}

impl<T: Container> Drop for Open<T> {
    fn drop(&mut self) {
        self.slot.0.store(core::ptr::null_mut(), Ordering::Release);
    }
}

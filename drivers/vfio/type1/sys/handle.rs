// SPDX-License-Identifier: GPL-2.0

//! Open containers, by the numbers that VFIO knows them by.
//!
//! VFIO reads a container's data and calls its driver with them, for a request of user space, without a lock:
//! the last group may leave meanwhile, with which the container is released. A driver that gave out an address
//! would work on freed memory then, or on a container of somebody else. A number is used once, and finds
//! nothing when its container has gone.
//!
//! Lock order: [`Table::opening`], then [`Table::entries`], inside of which no other lock is taken.

use crate::sys::ops::Container;
use core::ffi::c_void;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::prelude::*;
use kernel::sync::{new_mutex, new_spinlock, Arc, Mutex, SpinLock};
use linux::vec;

// SAFETY: Any number will do.
linux::c_arguments!(unsafe {
    /// What VFIO knows a container by: a number, or NULL for none.
    pub(crate) struct Handle(*mut c_void): *mut c_void;
});

impl Handle {
    pub(crate) fn is_null(&self) -> bool {
        self.0.is_null()
    }

    pub(crate) fn into_raw(self) -> *mut c_void {
        self.0
    }

    fn number(&self) -> usize {
        self.0 as usize
    }
}

/// Bits of a number that tell where its container is in the table; those above are never the same again.
const INDEX_BITS: u32 = 20;
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;

struct Entry<T> {
    number: usize,
    container: Option<Arc<T>>,
}

#[pin_data]
struct Table<T: Container> {
    /// How many have been opened. There is no time to open so many that a number would look like an error.
    #[pin]
    opening: Mutex<usize>,
    /// A request costs one look into this.
    #[pin]
    entries: SpinLock<KVec<Entry<T>>>,
}

/// Where the functions that VFIO calls, which get a number and nothing else, find the open containers.
pub(crate) struct Slot<T: Container>(AtomicPtr<Table<T>>);

impl<T: Container> Slot<T> {
    /// For a driver that is not registered.
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    fn table(&self) -> Option<&Table<T>> {
        // SAFETY: Set for the lifetime of an `Open`, which the registration of the driver contains. Nobody
        // calls an unregistered driver, and a module with open containers is not unloaded.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// Adds a container.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENFILE` for more than a million.
    pub(crate) fn add(&self, container: Arc<T>) -> Result<Handle> {
        let table = self.table().ok_or(ENODEV)?;
        let mut opened = table.opening.lock();
        vec::reserve(&table.entries, |entries| entries)?;
        let mut entries = table.entries.lock();
        let free = entries.iter().position(|entry| entry.container.is_none());
        let index = free.unwrap_or(entries.len());
        if index > INDEX_MASK {
            return Err(ENFILE);
        }
        *opened = opened.wrapping_add(1);
        let number = *opened << INDEX_BITS | index;
        let entry = Entry {
            number,
            container: Some(container),
        };
        match entries.get_mut(index) {
            Some(free) => *free = entry,
            None => entries.push_within_capacity(entry).map_err(|_| ENOMEM)?,
        }
        Ok(Handle(core::ptr::without_provenance_mut(number)))
    }

    /// The container, unless it has been released.
    #[inline]
    pub(crate) fn find(&self, handle: &Handle) -> Option<Arc<T>> {
        let number = handle.number();
        let entries = self.table()?.entries.lock();
        let entry = entries.get(number & INDEX_MASK)?;
        if entry.number != number {
            return None;
        }
        entry.container.clone()
    }

    /// Forgets a container. It goes with the last request that is being worked on.
    pub(crate) fn remove(&self, handle: &Handle) -> Option<Arc<T>> {
        let number = handle.number();
        let mut entries = self.table()?.entries.lock();
        let entry = entries.get_mut(number & INDEX_MASK)?;
        if entry.number != number {
            return None;
        }
        entry.container.take()
    }
}

impl<T: Container> Default for Slot<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The open containers of a driver, in its slot as long as this lives.
pub(crate) struct Open<T: Container>(Pin<KBox<Table<T>>>);

impl<T: Container> Open<T> {
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        let table = KBox::pin_init(
            pin_init!(Table {
                opening <- new_mutex!(0, "vfio_iommu_type1 opening"),
                entries <- new_spinlock!(KVec::new(), "vfio_iommu_type1 containers"),
            }),
            GFP_KERNEL,
        )?;
        let open = Self(table);
        let table = core::ptr::from_ref::<Table<T>>(&open.0).cast_mut();
        T::slot().0.store(table, Ordering::Release);
        Ok(open)
    }
}

impl<T: Container> Drop for Open<T> {
    fn drop(&mut self) {
        T::slot().0.store(core::ptr::null_mut(), Ordering::Release);
    }
}

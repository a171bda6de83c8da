// SPDX-License-Identifier: GPL-2.0

//! Open containers, by the numbers that VFIO knows them by.
//!
//! VFIO reads a container's data and calls its driver with them, for a request of user space, without a lock:
//! the last group may leave meanwhile, with which the container is released. A driver that gave out an address
//! would work on freed memory then, or on a container of somebody else. A number is used once, and finds
//! nothing when its container has gone.

use crate::container::Container;
use core::ffi::c_void;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::xarray::{AllocKind, XArray};

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

#[pin_data]
struct Table<T: Container> {
    #[pin]
    containers: XArray<Arc<T>>,
    /// Counts up from 1. There is no time to open so many that it would look like an error number.
    next: AtomicUsize,
}

/// Where the functions that VFIO calls, which get a number and nothing else, find the open containers.
pub struct Slot<T: Container>(AtomicPtr<Table<T>>);

impl<T: Container> Slot<T> {
    /// For a driver that is not registered.
    pub const fn new() -> Self {
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
    /// `ENOMEM`.
    pub(crate) fn add(&self, container: Arc<T>) -> Result<Handle> {
        let table = self.table().ok_or(ENODEV)?;
        let number = table.next.fetch_add(1, Ordering::Relaxed);
        table
            .containers
            .lock()
            .store(number, container, GFP_KERNEL)?;
        Ok(Handle(core::ptr::without_provenance_mut(number)))
    }

    /// The container, unless it has been released.
    pub(crate) fn find(&self, handle: &Handle) -> Option<Arc<T>> {
        let table = self.table()?;
        let containers = table.containers.lock();
        containers.get(handle.number()).map(Arc::from)
    }

    /// Forgets a container. It goes with the last request that is being worked on.
    pub(crate) fn remove(&self, handle: &Handle) -> Option<Arc<T>> {
        self.table()?.containers.lock().remove(handle.number())
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
                containers <- XArray::new(AllocKind::Alloc1),
                next: AtomicUsize::new(1),
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

// SPDX-License-Identifier: GPL-2.0

//! Semaphores of C structures that many may hold to read, and one to write.
//!
//! C header: [`include/linux/rwsem.h`](srctree/include/linux/rwsem.h)

use crate::abi::Object;
use crate::bindings;
use kernel::types::NotThreadSafe;

// SAFETY: They are made for use in any thread.
crate::c_objects!(unsafe {
    /// `struct rw_semaphore`.
    pub struct RwSemaphore(bindings::rw_semaphore);
});

mod c {
    use super::RwSemaphore;

    // SAFETY: These want an initialised semaphore, and a caller that may sleep.
    crate::c_functions!(unsafe {
        pub(super) fn down_read_trylock(lock: &RwSemaphore) -> i32;
        pub(super) fn down_write(lock: &RwSemaphore);
    });
}

/// A semaphore that is held for reading, until this is dropped.
pub struct Reading<'a>(&'a RwSemaphore, NotThreadSafe);

/// A semaphore that is held for writing, until this is dropped.
pub struct Writing<'a>(&'a RwSemaphore, NotThreadSafe);

impl RwSemaphore {
    /// Takes it for reading; `None` while somebody writes, or waits to.
    pub fn try_read(&self) -> Option<Reading<'_>> {
        (c::down_read_trylock(self) != 0).then(|| Reading(self, NotThreadSafe))
    }

    /// Takes it for writing, waiting until nobody holds it.
    pub fn write(&self) -> Writing<'_> {
        c::down_write(self);
        Writing(self, NotThreadSafe)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        // SAFETY: Taken for reading, by this thread.
        unsafe { bindings::up_read(self.0.as_raw()) };
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // SAFETY: Taken for writing, by this thread.
        unsafe { bindings::up_write(self.0.as_raw()) };
    }
}

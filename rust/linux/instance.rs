// SPDX-License-Identifier: GPL-2.0

//! Where C code that brings no data of ours finds the instance of a driver.

use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use kernel::prelude::*;

/// The place of one instance: a `static` of the driver.
pub struct Instance<T: 'static> {
    value: AtomicPtr<T>,
    /// Calls of [`Self::with`] that are under way.
    users: AtomicU32,
    /// All threads find the same instance: this is `Sync` only if a reference to it is.
    _shared: PhantomData<&'static T>,
}

impl<T> Instance<T> {
    /// Without an instance.
    pub const fn new() -> Self {
        Self {
            value: AtomicPtr::new(ptr::null_mut()),
            users: AtomicU32::new(0),
            _shared: PhantomData,
        }
    }

    /// Calls `f` with the instance, which stays until this returns; `None` without one.
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        // Sequentially consistent, here and in `drop`: either this finds no instance, or it is
        // waited for.
        self.users.fetch_add(1, Ordering::SeqCst);
        // SAFETY: Null, or published and not withdrawn before `users` is 0.
        let value = unsafe { self.value.load(Ordering::SeqCst).as_ref() };
        let result = value.map(f);
        self.users.fetch_sub(1, Ordering::Release);
        result
    }

    /// Makes `value` the instance, until the result is dropped.
    ///
    /// # Errors
    ///
    /// `EBUSY` when there is another one.
    ///
    /// # Safety
    ///
    /// `value` stays where it is until the result is dropped, and for ever if it is not dropped.
    pub unsafe fn publish(&'static self, value: &T) -> Result<Published<T>> {
        let new = ptr::from_ref(value).cast_mut();
        self.value
            .compare_exchange(ptr::null_mut(), new, Ordering::SeqCst, Ordering::Relaxed)
            .map_err(|_| EBUSY)?;
        Ok(Published(self))
    }
}

impl<T> Default for Instance<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// An instance that can be found. Dropping this withdraws it, and waits for those who use it.
pub struct Published<T: 'static>(&'static Instance<T>);

impl<T> Drop for Published<T> {
    fn drop(&mut self) {
        self.0.value.store(ptr::null_mut(), Ordering::SeqCst);
        while self.0.users.load(Ordering::SeqCst) != 0 {
            core::hint::spin_loop();
        }
    }
}

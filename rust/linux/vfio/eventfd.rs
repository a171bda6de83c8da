// SPDX-License-Identifier: GPL-2.0

//! Event file descriptors, by which user space takes interrupts.
//!
//! C header: [`include/linux/eventfd.h`](srctree/include/linux/eventfd.h)

use core::ptr::NonNull;
use kernel::error::from_err_ptr;
use kernel::prelude::*;
use linux::bindings;

/// A reference to an eventfd.
///
/// # Invariants
///
/// The pointer is valid, and comes with a reference.
pub struct EventFd(NonNull<bindings::eventfd_ctx>);

// SAFETY: The C side locks it and counts references atomically.
unsafe impl Send for EventFd {}
// SAFETY: As above.
unsafe impl Sync for EventFd {}

impl EventFd {
    /// The eventfd that the current process knows as `fd`.
    ///
    /// # Errors
    ///
    /// `EBADF` for no open file, `EINVAL` for one of another kind.
    pub fn get(fd: i32) -> Result<Self> {
        // SAFETY: Takes any number.
        let ctx = from_err_ptr(unsafe { bindings::eventfd_ctx_fdget(fd) })?;
        // INVARIANT: With a reference for us.
        NonNull::new(ctx).map(Self).ok_or(EBADF)
    }

    /// Adds 1 to the counter. May be called from any context.
    pub fn signal(&self) {
        // SAFETY: The reference keeps it alive.
        unsafe { bindings::eventfd_signal_mask(self.0.as_ptr(), 0) };
    }
}

impl Drop for EventFd {
    fn drop(&mut self) {
        // SAFETY: The reference is ours, by the invariant, and not used any more.
        unsafe { bindings::eventfd_ctx_put(self.0.as_ptr()) };
    }
}

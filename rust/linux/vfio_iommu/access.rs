// SPDX-License-Identifier: GPL-2.0

//! Memory of processes, copied by the CPU.

use crate::mapping::Mapping;
use core::mem::MaybeUninit;
use kernel::prelude::*;
use kernel::uaccess::{UserPtr, UserSlice};
use linux::bindings;

/// Whether `size` bytes from `address` on could be memory of a process (`access_ok()`).
pub fn could_be_user_memory(address: u64, size: u64) -> bool {
    // SAFETY: No requirements.
    unsafe { bindings::siov_vfio_access_ok(address as usize, size as usize) }
}

/// A kernel buffer for [`copy`], of a C driver that has data read or written.
pub struct Buffer<'a> {
    bytes: &'a mut [MaybeUninit<u8>],
    to_user: bool,
}

impl<'a> Buffer<'a> {
    /// # Safety
    ///
    /// `data` has `len` bytes that are ours for the lifetime, and are initialised if `to_user`.
    pub(crate) unsafe fn new(data: *mut u8, len: usize, to_user: bool) -> Self {
        let bytes = if len == 0 {
            &mut []
        } else {
            // SAFETY: As required of us.
            unsafe { core::slice::from_raw_parts_mut(data.cast(), len) }
        };
        Self { bytes, to_user }
    }

    /// Whether the process gets the data.
    pub fn is_to_user(&self) -> bool {
        self.to_user
    }

    /// Bytes left.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Copies `len` bytes from the front of the buffer to `vaddr` in the process of `mapping`, or to the
    /// front from there, and drops them from the buffer.
    ///
    /// # Errors
    ///
    /// `EPERM` when the process has exited, `EFAULT` when the caller is another process or the memory is
    /// not there.
    pub fn copy(&mut self, mapping: &Mapping, vaddr: usize, len: usize) -> Result {
        let mm = mapping.mm().mmget_not_zero().ok_or(EPERM)?;
        let current = current!();
        // SAFETY: Reads a field of the running task that nobody else changes.
        let own = unsafe { (*current.as_ptr()).mm };
        if own.is_null() {
            // SAFETY: A kernel thread without memory of its own; `mm` has a user.
            unsafe { bindings::kthread_use_mm(mm.as_raw()) };
        } else if own != mm.as_raw() {
            return Err(EFAULT);
        }
        let result = self.copy_here(vaddr, len);
        if own.is_null() {
            // SAFETY: Undoes the above.
            unsafe { bindings::kthread_unuse_mm(mm.as_raw()) };
        }
        result
    }

    fn copy_here(&mut self, vaddr: usize, len: usize) -> Result {
        let (now, later) = core::mem::take(&mut self.bytes)
            .split_at_mut_checked(len)
            .ok_or(EFAULT)?;
        self.bytes = later;
        let user = UserSlice::new(UserPtr::from_addr(vaddr), len);
        if self.to_user {
            // SAFETY: Initialised by the requirement of `new`.
            let now = unsafe { &*(core::ptr::from_ref(now) as *const [u8]) };
            user.writer().write_slice(now)
        } else {
            user.reader().read_raw(now)
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Memory of processes, copied by the CPU.

use crate::space::mapping::Mapping;
use crate::sys::c;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use kernel::prelude::*;
use kernel::uaccess::{UserPtr, UserSlice};
use linux::bindings;

/// Whether `size` bytes from `address` on could be memory of a process (`access_ok()`).
pub(crate) fn could_be_user_memory(address: u64, size: u64) -> bool {
    c::siov_vfio_access_ok(address as usize, size as usize)
}

// SAFETY: VFIO passes a buffer that is ours until the function returns, and its length.
linux::c_arguments!(unsafe {
    /// Where a [`Buffer`] begins.
    pub(crate) struct BufferStart<'a>(*mut c_void, PhantomData<&'a mut [u8]>): *mut c_void;
    /// How many bytes it has.
    pub(crate) struct BufferLen(usize): usize;
    /// Whether it is full of data for the process.
    pub(crate) struct ToUser(bool): bool;
});

/// A kernel buffer for [`copy`](Self::copy), of a C driver that has data read or written.
pub(crate) struct Buffer<'a> {
    bytes: &'a mut [MaybeUninit<u8>],
    to_user: bool,
}

impl<'a> Buffer<'a> {
    /// Of the arguments of one call.
    pub(crate) fn new(start: BufferStart<'a>, len: BufferLen, to_user: ToUser) -> Self {
        let bytes = if len.0 == 0 {
            &mut []
        } else {
            // SAFETY: So many bytes are ours.
            unsafe { core::slice::from_raw_parts_mut(start.0.cast(), len.0) }
        };
        Self {
            bytes,
            to_user: to_user.0,
        }
    }

    /// Whether the process gets the data.
    pub(crate) fn is_to_user(&self) -> bool {
        self.to_user
    }

    /// Bytes left.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Copies `len` bytes from the front of the buffer to `vaddr` in the process of `mapping`, or to the
    /// front from there, and drops them from the buffer.
    ///
    /// # Errors
    ///
    /// `EPERM` when the process has exited, `EFAULT` when the caller is another process or the memory is
    /// not there.
    pub(crate) fn copy(&mut self, mapping: &Mapping, vaddr: usize, len: usize) -> Result {
        let mm = mapping.mm().mmget_not_zero().ok_or(EPERM)?;
        match current!().mm() {
            // SAFETY: A kernel thread without memory of its own; `mm` has a user, and is let go of again.
            None => unsafe {
                bindings::kthread_use_mm(mm.as_raw());
                let result = self.copy_here(vaddr, len);
                bindings::kthread_unuse_mm(mm.as_raw());
                result
            },
            Some(own) if own.as_raw() != mm.as_raw() => Err(EFAULT),
            Some(_) => self.copy_here(vaddr, len),
        }
    }

    fn copy_here(&mut self, vaddr: usize, len: usize) -> Result {
        let (now, later) = core::mem::take(&mut self.bytes)
            .split_at_mut_checked(len)
            .ok_or(EFAULT)?;
        self.bytes = later;
        let user = UserSlice::new(UserPtr::from_addr(vaddr), len);
        if self.to_user {
            // SAFETY: Initialised, as `ToUser` says.
            let now = unsafe { &*(core::ptr::from_ref(now) as *const [u8]) };
            user.writer().write_slice(now)
        } else {
            user.reader().read_raw(now)
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Memory of processes, copied by the CPU.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use kernel::mm::Mm;
use kernel::prelude::*;
use kernel::uaccess::{UserPtr, UserSlice};
use linux::bindings;
use linux::callback::{Call, FromC};

/// Whether `size` bytes from `address` on could be memory of a process (`access_ok()`).
pub(crate) fn could_be_user_memory(address: u64, size: u64) -> bool {
    // SAFETY: Any numbers.
    unsafe { bindings::siov_vfio_access_ok(address as usize, size as usize) }
}

/// Where the buffer of a call begins: as many bytes as its [`BufferLen`] says, not used otherwise
/// until it returns, and initialised where its [`ToUser`] is set.
pub(super) struct BufferStart<'call>(*mut c_void, PhantomData<&'call Call>);
/// How many bytes the [`BufferStart`] of the same call has.
pub(super) struct BufferLen<'call>(usize, PhantomData<&'call Call>);
/// Whether the [`BufferStart`] of the same call has data for the process.
pub(super) struct ToUser<'call>(bool, PhantomData<&'call Call>);

impl<'call> FromC<'call, *mut c_void> for BufferStart<'call> {
    unsafe fn from_c(c: *mut c_void, _call: &'call Call) -> Self {
        Self(c, PhantomData)
    }
}

impl<'call> FromC<'call, usize> for BufferLen<'call> {
    unsafe fn from_c(c: usize, _call: &'call Call) -> Self {
        Self(c, PhantomData)
    }
}

impl<'call> FromC<'call, bool> for ToUser<'call> {
    unsafe fn from_c(c: bool, _call: &'call Call) -> Self {
        Self(c, PhantomData)
    }
}

/// A kernel buffer of a C driver that has data read or written, as far as it has not been copied
/// yet.
pub(crate) struct Buffer<'call> {
    bytes: &'call mut [MaybeUninit<u8>],
    to_user: bool,
}

impl<'call> Buffer<'call> {
    /// Of the arguments of one call.
    pub(super) fn new(
        start: BufferStart<'call>,
        len: BufferLen<'call>,
        to_user: ToUser<'call>,
    ) -> Self {
        let bytes = if len.0 == 0 {
            &mut []
        } else {
            // SAFETY: So many bytes are ours until the call returns.
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

    /// Copies `len` bytes from the front of the buffer to `vaddr` in the process `mm`, or to the
    /// front from there, after which they are no longer part of the buffer.
    ///
    /// # Errors
    ///
    /// `EPERM` when the process has exited, `EFAULT` when the caller is another process or the
    /// memory is not there.
    pub(crate) fn copy(&mut self, mm: &Mm, vaddr: usize, len: usize) -> Result {
        let mm = mm.mmget_not_zero().ok_or(EPERM)?;
        match current!().mm() {
            None => {
                // SAFETY: A kernel thread without memory of its own; `mm` has a user.
                unsafe { bindings::kthread_use_mm(mm.as_raw()) };
                let result = self.copy_here(vaddr, len);
                // SAFETY: In use since a few lines above.
                unsafe { bindings::kthread_unuse_mm(mm.as_raw()) };
                result
            }
            Some(own) if own.as_raw() != mm.as_raw() => Err(EFAULT),
            Some(_) => self.copy_here(vaddr, len),
        }
    }

    fn copy_here(&mut self, vaddr: usize, len: usize) -> Result {
        let bytes = self.bytes.get_mut(..len).ok_or(EFAULT)?;
        let user = UserSlice::new(UserPtr::from_addr(vaddr), len);
        if self.to_user {
            // SAFETY: Initialised, as `BufferStart` says.
            let bytes = unsafe { &*(core::ptr::from_ref(bytes) as *const [u8]) };
            user.writer().write_slice(bytes)?;
        } else {
            user.reader().read_raw(bytes)?;
        }
        let all = core::mem::take(&mut self.bytes);
        self.bytes = all.get_mut(len..).unwrap_or_default();
        Ok(())
    }
}

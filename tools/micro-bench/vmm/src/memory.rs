// SPDX-License-Identifier: GPL-2.0

//! The guest's memory.

use anyhow::{ensure, Context, Result};
use std::ptr::NonNull;

/// Anonymous memory, zero at first.
///
/// # Invariants
///
/// `start` is a mapping of `size` bytes that lives as long as the value, and no reference into it
/// is ever made.
pub struct Memory {
    start: NonNull<u8>,
    size: usize,
}

impl Memory {
    /// Maps `size` bytes.
    pub fn new(size: usize) -> Result<Self> {
        // SAFETY: a new mapping, of which nobody knows.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        ensure!(start != libc::MAP_FAILED, "no memory for the guest");
        let start = NonNull::new(start.cast()).context("mapped at zero")?;
        Ok(Self { start, size })
    }

    /// In bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// For KVM.
    pub fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    /// Copies `bytes` to guest physical address `to`.
    pub fn write(&self, to: u64, bytes: &[u8]) -> Result<()> {
        let to = usize::try_from(to)?;
        let end = to.checked_add(bytes.len()).context("address")?;
        ensure!(end <= self.size, "{to:#x} is beyond the guest's memory");
        let to = self.start.as_ptr().wrapping_add(to);
        // SAFETY: within the mapping, as was just checked; `bytes` cannot be in it.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is whole, by the type's invariant, and the machine that uses it is
        // gone.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.size) };
    }
}

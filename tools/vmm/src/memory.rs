// SPDX-License-Identifier: GPL-2.0

//! Memory that a guest uses at the same time.

use anyhow::{Context, Result};
use nix::errno::Errno;
use std::os::fd::RawFd;

/// A mapping; unmapped when dropped.
///
/// # Invariants
///
/// The range is this value's own, and is reached through copying accesses and atomics only.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: usize,
    len: usize,
}

impl Mapping {
    /// Zeroed memory.
    pub(crate) fn anonymous(len: usize) -> Result<Self> {
        Self::new(len, libc::MAP_ANONYMOUS, -1, 0)
            .with_context(|| format!("mmap of {len:#x} bytes"))
    }

    /// Part of a file.
    pub(crate) fn of_file(file: RawFd, offset: usize, len: usize) -> Result<Self> {
        Self::new(len, 0, file, offset).context("mmap of a vCPU")
    }

    fn new(len: usize, flags: i32, file: RawFd, offset: usize) -> Result<Self> {
        let offset = libc::off_t::try_from(offset)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = (flags | libc::MAP_SHARED) & !libc::MAP_FIXED;
        // SAFETY: A new mapping at an address that the kernel chooses.
        let base =
            unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, file, offset) };
        if base == libc::MAP_FAILED {
            return Err(Errno::last().into());
        }
        let base = base as usize;
        Ok(Self { base, len })
    }

    pub(crate) fn address(&self) -> u64 {
        self.base as u64
    }

    /// Pointer to the `len` bytes at `offset`.
    #[inline]
    pub(crate) fn at(&self, offset: u64, len: usize) -> *mut u8 {
        let offset = usize::try_from(offset).expect("an address of this process");
        assert!(
            offset.checked_add(len).is_some_and(|end| end <= self.len),
            "{len} bytes at {offset:#x} of {:#x}",
            self.len
        );
        (self.base as *mut u8).wrapping_add(offset)
    }

    /// Copies in. The caller sees to it that the guest does not use the range meanwhile.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) {
        let to = self.at(offset, bytes.len());
        // SAFETY: `at` has checked the range, which `bytes` is no part of.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    /// Copies out.
    pub(crate) fn read(&self, offset: u64, bytes: &mut [u8]) {
        let from = self.at(offset, bytes.len());
        // SAFETY: `at` has checked the range, which `bytes` is no part of.
        unsafe { from.copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: The mapping is this value's own, and nobody has a pointer into it any more.
        let result = unsafe { libc::munmap(self.base as *mut _, self.len) };
        debug_assert!(result == 0, "munmap: {}", Errno::last());
    }
}

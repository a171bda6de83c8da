// SPDX-License-Identifier: GPL-2.0

//! Memory that a guest uses at the same time.

use anyhow::{Context, Result};
use nix::sys::mman::{mmap, mmap_anonymous, munmap, MapFlags, ProtFlags};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;

/// A mapping; unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<c_void>,
    len: usize,
}

// SAFETY: The mapping belongs to the process, and is reached through copying accesses and atomics only.
unsafe impl Send for Mapping {}
// SAFETY: As above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Zeroed memory.
    pub(crate) fn anonymous(len: usize) -> Result<Self> {
        let size = NonZeroUsize::new(len).context("mapping of no bytes")?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: A new mapping at an address that the kernel chooses.
        let base = unsafe { mmap_anonymous(None, size, prot, MapFlags::MAP_SHARED) }
            .with_context(|| format!("mmap of {len:#x} bytes"))?;
        Ok(Self { base, len })
    }

    /// Part of a file.
    pub(crate) fn of_file(file: impl AsFd, offset: usize, len: usize) -> Result<Self> {
        let size = NonZeroUsize::new(len).context("mapping of no bytes")?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let offset = libc::off_t::try_from(offset)?;
        // SAFETY: As above.
        let base = unsafe { mmap(None, size, prot, MapFlags::MAP_SHARED, file, offset) }
            .context("mmap of a vCPU")?;
        Ok(Self { base, len })
    }

    pub(crate) fn address(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    pub(crate) fn base(&self) -> NonNull<c_void> {
        self.base
    }

    fn at(&self, offset: u64, len: usize) -> *mut u8 {
        let offset = usize::try_from(offset).expect("an address of this process");
        assert!(
            offset.checked_add(len).is_some_and(|end| end <= self.len),
            "{len} bytes at {offset:#x} of {:#x}",
            self.len
        );
        // SAFETY: Inside of the mapping, as just checked.
        unsafe { self.base.as_ptr().cast::<u8>().add(offset) }
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
        let result = unsafe { munmap(self.base, self.len) };
        debug_assert!(result.is_ok(), "munmap: {result:?}");
    }
}

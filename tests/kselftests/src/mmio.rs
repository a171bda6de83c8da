// SPDX-License-Identifier: GPL-2.0

//! Mapped files and memory that somebody else changes behind the compiler's back: registers, and
//! buffers that a device reads and writes.

use crate::ktap::Result;
use anyhow::Context;
use nix::errno::Errno;
use nix::sys::mman::{mmap, mmap_anonymous, munmap, MapFlags, ProtFlags};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;

/// A mapping; unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<c_void>,
    len: usize,
}

// SAFETY: The mapping belongs to the process, not to a thread, and is reached through volatile or
// copying accesses only.
unsafe impl Send for Mapping {}
// SAFETY: As above; concurrent accesses of one place are as harmless as those of a device.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of `file` from `offset` on, shared.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn of_file(file: impl AsFd, offset: u64, len: usize) -> Result<Self> {
        let size = NonZeroUsize::new(len).context("mapping of no bytes")?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let offset = libc::off_t::try_from(offset)?;
        // SAFETY: A new mapping at an address that the kernel chooses.
        let base = unsafe { mmap(None, size, prot, MapFlags::MAP_SHARED, file, offset) }
            .context("mmap of a file")?;
        Ok(Self { base, len })
    }

    /// Maps `len` bytes of `file` from `offset` on, read-only and private.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn of_file_private(file: impl AsFd, offset: u64, len: usize) -> Result<Self> {
        let size = NonZeroUsize::new(len).context("mapping of no bytes")?;
        let offset = libc::off_t::try_from(offset)?;
        let (prot, flags) = (ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE);
        // SAFETY: A new mapping at an address that the kernel chooses.
        let mapped = unsafe { mmap(None, size, prot, flags, file, offset) };
        let base = mapped.context("mmap of a file")?;
        Ok(Self { base, len })
    }

    /// Anonymous memory that is not present.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn fresh(len: usize) -> Result<Self> {
        Self::anonymous(len, MapFlags::empty())
    }

    /// Changes the protection of `len` bytes from `offset` on to `PROT_*`.
    ///
    /// # Errors
    ///
    /// Those of mprotect(2).
    pub fn protect(&self, offset: usize, len: usize, protection: i32) -> Result {
        // SAFETY: `at` has checked the range; who takes access away does not access.
        let ret = unsafe { libc::mprotect(self.at(offset, len).cast(), len, protection) };
        Errno::result(ret).context("mprotect")?;
        Ok(())
    }

    /// Unmaps `len` bytes at `offset`, until [`Self::fill`] maps memory there again.
    ///
    /// # Errors
    ///
    /// Those of munmap(2).
    pub fn punch(&self, offset: usize, len: usize) -> Result {
        // SAFETY: `at` has checked the range; nobody accesses it meanwhile.
        let ret = unsafe { libc::munmap(self.at(offset, len).cast(), len) };
        Errno::result(ret).context("munmap")?;
        Ok(())
    }

    /// Maps zeroed memory where [`Self::punch`] has made a hole.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn fill(&self, offset: usize, len: usize) -> Result {
        let at = self.at(offset, len);
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: Replaces part of this mapping.
        let base = unsafe { libc::mmap(at.cast(), len, prot, flags, -1, 0) };
        anyhow::ensure!(base != libc::MAP_FAILED, "mmap of a hole");
        self.write(offset, &[1]);
        Ok(())
    }

    /// Anonymous memory of base pages, zeroed and present.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn memory(len: usize) -> Result<Self> {
        let mapping = Self::anonymous(len, MapFlags::empty())?;
        // SAFETY: The range is the mapping. Without this, a large one could get huge pages.
        let ret = unsafe { libc::madvise(mapping.base.as_ptr(), len, libc::MADV_NOHUGEPAGE) };
        nix::errno::Errno::result(ret).context("madvise(MADV_NOHUGEPAGE)")?;
        mapping.zero();
        Ok(mapping)
    }

    /// Memory of huge pages of 2^`shift` bytes, zeroed and present.
    ///
    /// # Errors
    ///
    /// Those of mmap(2): `ENOMEM` when the kernel has no such pages left.
    pub fn huge_pages(len: usize, shift: u32) -> Result<Self> {
        let size = MapFlags::from_bits_retain((shift << libc::MAP_HUGE_SHIFT) as i32);
        let mapping = Self::anonymous(len, MapFlags::MAP_HUGETLB | size)?;
        mapping.zero_first_of_each(1 << shift);
        Ok(mapping)
    }

    /// Memory of transparent huge pages, zeroed and present, as far as the kernel has such pages.
    ///
    /// # Errors
    ///
    /// Those of mmap(2) and madvise(2).
    pub fn transparent_huge_pages(len: usize) -> Result<Self> {
        let mapping = Self::anonymous(len, MapFlags::empty())?;
        // SAFETY: The range is the mapping.
        let ret = unsafe { libc::madvise(mapping.base.as_ptr(), len, libc::MADV_HUGEPAGE) };
        nix::errno::Errno::result(ret).context("madvise(MADV_HUGEPAGE)")?;
        mapping.zero();
        Ok(mapping)
    }

    fn anonymous(len: usize, flags: MapFlags) -> Result<Self> {
        let size = NonZeroUsize::new(len).context("mapping of no bytes")?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: A new mapping at an address that the kernel chooses.
        let base = unsafe { mmap_anonymous(None, size, prot, flags | MapFlags::MAP_PRIVATE) }
            .with_context(|| format!("mmap of {len:#x} bytes"))?;
        Ok(Self { base, len })
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// A mapping is never empty.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Address in this process.
    pub fn address(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    /// Pointer to the `len` bytes at `offset`.
    fn at(&self, offset: usize, len: usize) -> *mut u8 {
        let end = offset.checked_add(len);
        assert!(
            end.is_some_and(|end| end <= self.len),
            "{len} bytes at {offset:#x} of a mapping of {:#x}",
            self.len
        );
        // SAFETY: Inside of the mapping, as just checked.
        unsafe { self.base.as_ptr().cast::<u8>().add(offset) }
    }

    /// Copies out.
    pub fn read(&self, offset: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let from = self.at(offset, len);
        // SAFETY: `at` has checked the range, and `bytes` is not part of the mapping.
        unsafe { from.copy_to_nonoverlapping(bytes.as_mut_ptr(), len) };
        bytes
    }

    /// Copies in.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        let to = self.at(offset, bytes.len());
        // SAFETY: `at` has checked the range, and `bytes` is not part of the mapping.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    /// Sets all bytes to 0.
    pub fn zero(&self) {
        // SAFETY: The whole mapping.
        unsafe { self.at(0, self.len).write_bytes(0, self.len) };
    }

    fn zero_first_of_each(&self, step: usize) {
        for offset in (0..self.len).step_by(step) {
            self.write(offset, &[0]);
        }
    }

    /// Writes `len` bytes from `offset` on to position `at` of `file`, without a copy in between.
    ///
    /// # Errors
    ///
    /// Those of pwrite(2), also when it wrote less.
    pub fn store(&self, offset: usize, len: usize, file: impl AsFd, at: u64) -> Result {
        let from = self.at(offset, len).cast_const().cast();
        let position = libc::off_t::try_from(at)?;
        // SAFETY: `at` has checked the range.
        let ret = unsafe { libc::pwrite64(file.as_fd().as_raw_fd(), from, len, position) };
        let done =
            Errno::result(ret).with_context(|| format!("write {len:#x} bytes at {at:#x}"))?;
        anyhow::ensure!(
            done as usize == len,
            "wrote {done:#x} of {len:#x} bytes at {at:#x}"
        );
        Ok(())
    }

    /// Reads `len` bytes to `offset` from position `at` of `file`, without a copy in between.
    ///
    /// # Errors
    ///
    /// Those of pread(2), also when it read less.
    pub fn load(&self, offset: usize, len: usize, file: impl AsFd, at: u64) -> Result {
        let to = self.at(offset, len).cast();
        let position = libc::off_t::try_from(at)?;
        // SAFETY: `at` has checked the range.
        let ret = unsafe { libc::pread64(file.as_fd().as_raw_fd(), to, len, position) };
        let done = Errno::result(ret).with_context(|| format!("read {len:#x} bytes at {at:#x}"))?;
        anyhow::ensure!(
            done as usize == len,
            "read {done:#x} of {len:#x} bytes at {at:#x}"
        );
        Ok(())
    }

    /// Reads a 32-bit register.
    pub fn read32(&self, offset: usize) -> u32 {
        assert!(offset % 4 == 0);
        // SAFETY: `at` has checked the range; aligned because the mapping is page-aligned.
        unsafe { self.at(offset, 4).cast::<u32>().read_volatile() }
    }

    /// Writes a 32-bit register.
    pub fn write32(&self, offset: usize, value: u32) {
        assert!(offset % 4 == 0);
        // SAFETY: `at` has checked the range; aligned because the mapping is page-aligned.
        unsafe { self.at(offset, 4).cast::<u32>().write_volatile(value) };
    }

    /// Reads a 64-bit register.
    pub fn read64(&self, offset: usize) -> u64 {
        assert!(offset % 8 == 0);
        // SAFETY: `at` has checked the range; aligned because the mapping is page-aligned.
        unsafe { self.at(offset, 8).cast::<u64>().read_volatile() }
    }

    /// Writes a 64-bit register.
    pub fn write64(&self, offset: usize, value: u64) {
        assert!(offset % 8 == 0);
        // SAFETY: `at` has checked the range; aligned because the mapping is page-aligned.
        unsafe { self.at(offset, 8).cast::<u64>().write_volatile(value) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: The mapping is this value's own, and nobody has a pointer into it any more.
        let result = unsafe { munmap(self.base, self.len) };
        debug_assert!(result.is_ok(), "munmap: {result:?}");
    }
}

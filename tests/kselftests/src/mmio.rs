// SPDX-License-Identifier: GPL-2.0

//! Mapped files and memory that somebody else changes behind the compiler's back: registers, and
//! buffers that a device reads and writes.

use crate::ktap::Result;
use anyhow::Context;
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd};

/// What the kernel says to `MADV_NOHUGEPAGE`. One without transparent huge pages, PREEMPT_RT's for
/// example, does not know the advice, and gives nothing but base pages.
fn base_pages(advised: nix::Result<()>) -> Result {
    match advised {
        Err(Errno::EINVAL) => Ok(()),
        other => other.context("madvise"),
    }
}

/// A mapping; unmapped when dropped.
///
/// # Invariants
///
/// The range is this value's own, and there are no references into it: it is reached through
/// volatile or copying accesses only, and concurrent ones of one place are as harmless as those of
/// a device.
#[derive(Debug)]
pub struct Mapping {
    base: usize,
    len: usize,
}

/// Readable and writable.
const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

impl Mapping {
    /// Maps `len` bytes of `file` from `offset` on, shared.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn of_file(file: impl AsFd, offset: u64, len: usize) -> Result<Self> {
        let fd = file.as_fd().as_raw_fd();
        Self::new(len, READ_WRITE, libc::MAP_SHARED, fd, offset).context("mmap of a file")
    }

    /// Maps `len` bytes of `file` from `offset` on, read-only and private.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn of_file_private(file: impl AsFd, offset: u64, len: usize) -> Result<Self> {
        let fd = file.as_fd().as_raw_fd();
        Self::new(len, libc::PROT_READ, libc::MAP_PRIVATE, fd, offset).context("mmap of a file")
    }

    fn new(len: usize, protection: i32, flags: i32, fd: i32, offset: u64) -> Result<Self> {
        let offset = libc::off_t::try_from(offset)?;
        let null = std::ptr::null_mut();
        // SAFETY: A new mapping at an address that the kernel chooses.
        let base =
            unsafe { libc::mmap(null, len, protection, flags & !libc::MAP_FIXED, fd, offset) };
        if base == libc::MAP_FAILED {
            return Err(Errno::last().into());
        }
        let base = base as usize;
        Ok(Self { base, len })
    }

    /// Says how the kernel backs all of it: `MADV_HUGEPAGE` or `MADV_NOHUGEPAGE`.
    fn advise(&self, advice: i32) -> nix::Result<()> {
        let range = self.at(0, self.len).cast();
        // SAFETY: The whole mapping. Neither advice changes what is in it.
        let ret = unsafe { libc::madvise(range, self.len, advice) };
        Errno::result(ret).map(drop)
    }

    /// Anonymous memory that is not present.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn fresh(len: usize) -> Result<Self> {
        Self::anonymous(len, 0)
    }

    /// Changes the protection of `len` bytes from `offset` on to `PROT_*`.
    ///
    /// # Errors
    ///
    /// Those of mprotect(2).
    pub fn protect(&self, offset: usize, len: usize, protection: i32) -> Result {
        let range = self.at(offset, len).cast();
        // SAFETY: `at` has checked the range, into which there are no references. An access that is
        // not permitted any more ends the program.
        let ret = unsafe { libc::mprotect(range, len, protection) };
        Errno::result(ret).with_context(|| format!("mprotect of {len:#x} bytes"))?;
        Ok(())
    }

    /// Unmaps `len` bytes at `offset`, until [`Self::fill`] maps memory there again.
    ///
    /// # Errors
    ///
    /// Those of munmap(2).
    ///
    /// # Safety
    ///
    /// Until `fill`, the range is not accessed, the mapping is not dropped, and nothing maps memory
    /// in this process without saying where: it could come to lie there.
    pub unsafe fn punch(&self, offset: usize, len: usize) -> Result {
        let range = self.at(offset, len).cast();
        // SAFETY: `at` has checked the range, into which there are no references.
        let ret = unsafe { libc::munmap(range, len) };
        Errno::result(ret).with_context(|| format!("munmap of {len:#x} bytes"))?;
        Ok(())
    }

    /// Maps zeroed memory where [`Self::punch`] has made a hole, or in place of what is there.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn fill(&self, offset: usize, len: usize) -> Result {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        let range = self.at(offset, len).cast();
        // SAFETY: `at` has checked the range, which is this mapping's, a hole in it included; what
        // takes its place lies there as well.
        let base = unsafe { libc::mmap(range, len, READ_WRITE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(Errno::last()).context("mmap of a hole");
        }
        self.write(offset, &[1]);
        Ok(())
    }

    /// Maps `len` bytes of `file` from `at` on, shared, in place of what is at `offset`.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn cover(&self, offset: usize, len: usize, file: impl AsFd, at: u64) -> Result {
        let fd = file.as_fd().as_raw_fd();
        let (range, flags) = (
            self.at(offset, len).cast(),
            libc::MAP_SHARED | libc::MAP_FIXED,
        );
        let at = libc::off_t::try_from(at)?;
        // SAFETY: `at` has checked the range, into which there are no references, and which is this
        // mapping's.
        let base = unsafe { libc::mmap(range, len, READ_WRITE, flags, fd, at) };
        if base == libc::MAP_FAILED {
            return Err(Errno::last()).context("mmap of a file in place of memory");
        }
        Ok(())
    }

    /// Anonymous memory of base pages, zeroed and present.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn memory(len: usize) -> Result<Self> {
        let mapping = Self::anonymous(len, 0)?;
        // Without this, a large one could get huge pages.
        base_pages(mapping.advise(libc::MADV_NOHUGEPAGE))?;
        mapping.zero();
        Ok(mapping)
    }

    /// Memory of huge pages of 2^`shift` bytes, zeroed and present.
    ///
    /// # Errors
    ///
    /// Those of mmap(2): `ENOMEM` when the kernel has no such pages left.
    pub fn huge_pages(len: usize, shift: u32) -> Result<Self> {
        let size = (shift << libc::MAP_HUGE_SHIFT) as i32;
        let mapping = Self::anonymous(len, libc::MAP_HUGETLB | size)?;
        mapping.zero_first_of_each(1 << shift);
        Ok(mapping)
    }

    /// Memory of transparent huge pages, zeroed and present, as far as the kernel has such pages.
    ///
    /// # Errors
    ///
    /// Those of mmap(2) and madvise(2).
    pub fn transparent_huge_pages(len: usize) -> Result<Self> {
        let mapping = Self::anonymous(len, 0)?;
        mapping.advise(libc::MADV_HUGEPAGE).context("madvise")?;
        mapping.zero();
        Ok(mapping)
    }

    /// Zeroed memory that children share.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    pub fn shared(len: usize) -> Result<Self> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        Self::new(len, READ_WRITE, flags, -1, 0).context("mmap of shared memory")
    }

    fn anonymous(len: usize, flags: i32) -> Result<Self> {
        let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        Self::new(len, READ_WRITE, flags, -1, 0).with_context(|| format!("mmap of {len:#x} bytes"))
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
        self.base as u64
    }

    /// Pointer to the `len` bytes at `offset`.
    fn at(&self, offset: usize, len: usize) -> *mut u8 {
        let end = offset.checked_add(len);
        assert!(
            end.is_some_and(|end| end <= self.len),
            "{len} bytes at {offset:#x} of a mapping of {:#x}",
            self.len
        );
        (self.base as *mut u8).wrapping_add(offset)
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
        self.transfer(true, offset, len, file, at)
    }

    /// Reads `len` bytes to `offset` from position `at` of `file`, without a copy in between.
    ///
    /// # Errors
    ///
    /// Those of pread(2), also when it read less.
    pub fn load(&self, offset: usize, len: usize, file: impl AsFd, at: u64) -> Result {
        self.transfer(false, offset, len, file, at)
    }

    fn transfer(&self, out: bool, offset: usize, len: usize, file: impl AsFd, at: u64) -> Result {
        let range = self.at(offset, len).cast();
        let position = libc::off_t::try_from(at)?;
        let fd = file.as_fd().as_raw_fd();
        let ret = if out {
            // SAFETY: `at` has checked the range, which is read.
            unsafe { libc::pwrite64(fd, range, len, position) }
        } else {
            // SAFETY: `at` has checked the range, which is written.
            unsafe { libc::pread64(fd, range, len, position) }
        };
        let what = if out { "written to" } else { "read from" };
        let done = Errno::result(ret).with_context(|| format!("{len:#x} bytes {what} {at:#x}"))?;
        anyhow::ensure!(
            done as usize == len,
            "{done:#x} of {len:#x} bytes {what} {at:#x}"
        );
        Ok(())
    }
}

/// Registers, each at a multiple of its size.
impl Mapping {
    /// Reads a register of 32 bits.
    pub fn read32(&self, offset: usize) -> u32 {
        // SAFETY: A place of the mapping, aligned, of which volatile reads are harmless.
        unsafe { self.register::<u32>(offset).read_volatile() }
    }

    /// Writes a register of 32 bits.
    pub fn write32(&self, offset: usize, value: u32) {
        // SAFETY: A place of the mapping, aligned, to which nobody has a reference.
        unsafe { self.register::<u32>(offset).write_volatile(value) };
    }

    /// Reads a register of 64 bits.
    pub fn read64(&self, offset: usize) -> u64 {
        // SAFETY: A place of the mapping, aligned, of which volatile reads are harmless.
        unsafe { self.register::<u64>(offset).read_volatile() }
    }

    /// Writes a register of 64 bits.
    pub fn write64(&self, offset: usize, value: u64) {
        // SAFETY: A place of the mapping, aligned, to which nobody has a reference.
        unsafe { self.register::<u64>(offset).write_volatile(value) };
    }

    /// Pointer to the register of this type at `offset`.
    fn register<T>(&self, offset: usize) -> *mut T {
        assert!(offset % size_of::<T>() == 0);
        // Aligned, because the mapping starts with a page.
        self.at(offset, size_of::<T>()).cast()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: The whole mapping, which is not used any more.
        let ret = unsafe { libc::munmap(self.at(0, self.len).cast(), self.len) };
        debug_assert_eq!(ret, 0, "{}", Errno::last());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_huge_pages_gives_base_pages() {
        assert!(base_pages(Ok(())).is_ok());
        assert!(base_pages(Err(Errno::EINVAL)).is_ok());
        assert!(base_pages(Err(Errno::ENOMEM)).is_err());
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Page frames behind addresses of a process, pinned for as long as devices use them.

use crate::sys::c;
use core::mem::size_of;
use kernel::error::to_result;
use kernel::mm::virt::VmaRef;
use kernel::mm::{MmWithUser, MmapReadGuard};
use kernel::prelude::*;
use linux::bindings;
use siov_type1::run::Extent;
use siov_types::{PAGE_SHIFT, PAGE_SIZE};

/// Page pointers in a batch: a page of memory for them, as in the C driver.
pub(crate) const BATCH: usize = 512;

/// What is behind an address.
pub(crate) enum Found {
    /// This many pages of memory, pinned; their pointers are in front of the batch.
    Pages(usize),
    /// Frames of a device or otherwise of nobody, which need no pin: first frame and number.
    Frames(u64, u64),
}

/// Where the page structure of frame 0 is, or would be.
#[inline(always)]
fn page_structures() -> u64 {
    // SAFETY: Written once, early at boot.
    unsafe { bindings::vmemmap_base as u64 }
}

/// The frame number of a page. `page` comes from the kernel.
#[inline(always)]
pub(crate) fn frame_of(page: u64) -> u64 {
    page.wrapping_sub(page_structures()) / size_of::<bindings::page>() as u64
}

/// Where the page structure of a frame is, for frames that have one.
#[inline(always)]
pub(crate) fn page_of(pfn: u64) -> *mut bindings::page {
    let offset = pfn.wrapping_mul(size_of::<bindings::page>() as u64);
    page_structures().wrapping_add(offset) as *mut bindings::page
}

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Memory,
    Reserved,
    Bare,
}

pub(crate) fn kind_of(pfn: u64) -> FrameKind {
    match c::siov_vfio_frame(pfn as usize) {
        bindings::siov_vfio_frame_SIOV_VFIO_FRAME_MEMORY => FrameKind::Memory,
        bindings::siov_vfio_frame_SIOV_VFIO_FRAME_RESERVED => FrameKind::Reserved,
        _ => FrameKind::Bare,
    }
}

fn flags(write: bool) -> u32 {
    bindings::FOLL_LONGTERM | if write { bindings::FOLL_WRITE } else { 0 }
}

/// Finds what is behind up to `pages` pages from `vaddr` in the caller's own address space `mm`.
///
/// Pages that are present and to be written to are taken from the page table without a lock. It takes no
/// fault then: one that user space handles would have it wait for itself. A page table does not tell
/// whether memory may be read, so that pages to be read only are looked for with the lock.
///
/// # Errors
///
/// Those of the kernel's `pin_user_pages_remote()`, `EFAULT` where nothing is.
pub(crate) fn find_own(
    mm: &MmWithUser,
    vaddr: usize,
    pages: u64,
    write: bool,
    batch: &mut [u64],
) -> Result<Found> {
    if !write {
        return find(mm, vaddr, pages, write, batch);
    }
    let count = batch.len().min(pages as usize);
    // SAFETY: `batch` has room for `count` page pointers, each as large as an element.
    let found = unsafe {
        bindings::pin_user_pages_fast(
            vaddr,
            count as i32,
            flags(write) | bindings::FOLL_NOFAULT,
            batch.as_mut_ptr().cast(),
        )
    };
    if found > 0 {
        return Ok(Found::Pages(found as usize));
    }
    find(mm, vaddr, pages, write, batch)
}

/// Finds what is behind up to `pages` pages from `vaddr` in any address space.
///
/// # Errors
///
/// As [`find_own`].
pub(crate) fn find(
    mm: &MmWithUser,
    vaddr: usize,
    pages: u64,
    write: bool,
    batch: &mut [u64],
) -> Result<Found> {
    let count = batch.len().min(pages as usize);
    let guard = mm.mmap_read_lock();
    // SAFETY: As above; the mmap lock is held.
    let found = unsafe {
        bindings::pin_user_pages_remote(
            mm.as_raw(),
            vaddr,
            count,
            flags(write),
            batch.as_mut_ptr().cast(),
            core::ptr::null_mut(),
        )
    };
    if found > 0 {
        return Ok(Found::Pages(found as usize));
    }
    let error = match found {
        0 => EFAULT,
        errno => Error::from_errno(errno as i32),
    };
    find_frames(mm, &guard, vaddr, write, error)
        .map(|(pfn, count)| Found::Frames(pfn, count.min(pages)))
}

/// Frames of a mapping without pages (`VM_PFNMAP`), as of a device's registers: the first, and how many
/// the entry of the page table has.
///
/// The mmap lock may be let go of meanwhile, and is held again on return.
fn find_frames(
    mm: &MmWithUser,
    guard: &MmapReadGuard<'_>,
    vaddr: usize,
    write: bool,
    otherwise: Error,
) -> Result<(u64, u64)> {
    let vaddr = c::siov_vfio_untagged_addr(mm, vaddr);
    let mut faulted = false;
    loop {
        // Looked up anew after each fault, which may have let go of the lock.
        let area = guard.vma_lookup(vaddr).ok_or(otherwise)?;
        if area.flags() & bindings::VM_PFNMAP == 0 {
            return Err(otherwise);
        }
        match Entry::of(area, vaddr) {
            Ok(entry) => return entry.frames(write),
            Err(e) if faulted => return Err(e),
            Err(_) => faulted = fault_in(mm, guard, vaddr, write)?,
        }
    }
}

/// Has the frame at `vaddr` put into the page table; false when the lock was let go of meanwhile.
fn fault_in(
    mm: &MmWithUser,
    _guard: &MmapReadGuard<'_>,
    vaddr: usize,
    write: bool,
) -> Result<bool> {
    let mut unlocked = false;
    let mut flags = bindings::fault_flag_FAULT_FLAG_REMOTE;
    if write {
        flags |= bindings::fault_flag_FAULT_FLAG_WRITE;
    }
    // SAFETY: The lock is held, and held again on return; the caller has no reference to an area.
    let ret = unsafe { bindings::fixup_user_fault(mm.as_raw(), vaddr, flags, &raw mut unlocked) };
    if unlocked {
        return Ok(false);
    }
    to_result(ret).map(|()| true)
}

/// An entry of a page table, locked as long as this lives.
struct Entry<'a> {
    args: bindings::follow_pfnmap_args,
    _area: &'a VmaRef,
}

impl<'a> Entry<'a> {
    /// # Errors
    ///
    /// `EINVAL` when nothing is there.
    fn of(area: &'a VmaRef, vaddr: usize) -> Result<Self> {
        let mut args = bindings::follow_pfnmap_args {
            vma: area.as_ptr(),
            address: vaddr,
            ..Default::default()
        };
        // SAFETY: The mmap lock is held where there is a reference to an area.
        to_result(unsafe { bindings::follow_pfnmap_start(&raw mut args) })?;
        Ok(Self { args, _area: area })
    }

    /// The frame at its address, and how many follow up to the end of the entry.
    ///
    /// # Errors
    ///
    /// `EFAULT` for memory, and for what cannot be written to.
    fn frames(&self, write: bool) -> Result<(u64, u64)> {
        let pfn = self.args.pfn as u64;
        if write && !self.args.writable || kind_of(pfn) == FrameKind::Memory {
            return Err(EFAULT);
        }
        // However large the entry is.
        let last = pfn | (!(self.args.addr_mask as u64) >> PAGE_SHIFT);
        Ok((pfn, last.wrapping_sub(pfn).wrapping_add(1)))
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        // SAFETY: Started in `of`, successfully.
        unsafe { bindings::follow_pfnmap_end(&raw mut self.args) };
    }
}

/// Lets go of frames that were pinned, and of nothing else in the extent.
///
/// # Safety
///
/// Every frame of `extent` that is memory holds a pin that the caller owns. Where `all_pinned`, every
/// frame does.
pub(crate) unsafe fn unpin(extent: Extent, dirty: bool, all_pinned: bool) -> u64 {
    // SAFETY: As required of us; frames that were pinned have page structures.
    let unpin_run = |pfn: u64, pages: u64| unsafe {
        bindings::unpin_user_page_range_dirty_lock(page_of(pfn), pages as usize, dirty);
    };
    if all_pinned {
        unpin_run(extent.pfn(), extent.pages());
        return extent.pages();
    }
    let mut unpinned = 0u64;
    for index in 0..extent.pages() {
        let pfn = extent.pfn().wrapping_add(index);
        if kind_of(pfn) == FrameKind::Memory {
            unpin_run(pfn, 1);
            unpinned = unpinned.wrapping_add(1);
        }
    }
    unpinned
}

/// Where the pages of a range lie, in bytes, for callers that count in pages.
pub(crate) const fn bytes(pages: u64) -> u64 {
    pages.wrapping_mul(PAGE_SIZE)
}

/// Lets others run, for loops over much memory.
#[inline]
pub(crate) fn cond_resched() {
    c::siov_vfio_cond_resched();
}

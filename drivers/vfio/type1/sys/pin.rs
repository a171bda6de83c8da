// SPDX-License-Identifier: GPL-2.0

//! Page frames behind addresses of a process, pinned for as long as devices use them.

use core::mem::size_of;
use kernel::mm::MmWithUser;
use kernel::prelude::*;
use linux::bindings;
use siov_type1::run::{coalesce, Extent};
use siov_types::{PageCount, Pfn, PhysAddr, PAGE_SHIFT};

/// Page pointers in a batch: a page of memory for them, as in the C driver.
pub(super) const BATCH: usize = 512;

/// Bytes of a page structure.
const STRIDE: u64 = size_of::<bindings::page>() as u64;

/// The page structure of frame 0, whether there is one or not.
#[inline(always)]
fn page_structures() -> *mut bindings::page {
    // SAFETY: Written once, early at boot.
    unsafe { bindings::vmemmap_base as *mut bindings::page }
}

/// The frame of a page, whose pointer comes from the kernel.
#[inline(always)]
pub(super) fn frame_of(page: u64) -> Pfn {
    let offset = page - page_structures() as u64;
    Pfn::of(PhysAddr::new((offset / STRIDE) << PAGE_SHIFT))
}

/// The page structure of a frame, if it has one.
#[inline(always)]
pub(super) fn page_of(pfn: Pfn) -> *mut bindings::page {
    page_structures().wrapping_add(pfn.raw() as usize)
}

/// Replaces page pointers by the runs of frames that they make up; how many runs there are.
#[inline(always)]
pub(super) fn runs_of(pages: &mut [u64]) -> usize {
    coalesce(pages, STRIDE, frame_of)
}

/// What a frame is. None changes into another while a process has it mapped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// Memory, which can be pinned.
    Memory,
    /// Has a page structure, but is not managed as memory.
    Reserved,
    /// Has no page structure.
    Bare,
}

pub(super) fn kind_of(pfn: Pfn) -> FrameKind {
    // SAFETY: Any number.
    match unsafe { bindings::siov_vfio_frame(pfn.raw() as usize) } {
        bindings::siov_vfio_frame_SIOV_VFIO_FRAME_MEMORY => FrameKind::Memory,
        bindings::siov_vfio_frame_SIOV_VFIO_FRAME_RESERVED => FrameKind::Reserved,
        _ => FrameKind::Bare,
    }
}

fn flags(write: bool) -> u32 {
    bindings::FOLL_LONGTERM | if write { bindings::FOLL_WRITE } else { 0 }
}

/// Pins the memory behind up to `pages` pages from `vaddr` in the caller's own address space `mm`;
/// how many pages that are, not 0. Their pointers are at the front of `batch`, and each holds a pin
/// for the caller.
///
/// Pages that are present and to be written to are taken from the page table without a lock. It
/// takes no fault then: one that user space handles would have it wait for itself. A page table
/// does not say whether memory may be read, so that pages to be read only are looked for with the
/// lock.
///
/// # Errors
///
/// Those of the kernel's `pin_user_pages_remote()`, `EFAULT` where no memory is.
pub(super) fn pin_own(
    mm: &MmWithUser,
    vaddr: usize,
    pages: PageCount,
    write: bool,
    batch: &mut [u64],
) -> Result<usize> {
    if !write {
        return pin(mm, vaddr, pages, write, batch);
    }
    let count = batch.len().min(pages.raw() as usize);
    let pointers = batch.as_mut_ptr().cast();
    let flags = flags(write) | bindings::FOLL_NOFAULT;
    // SAFETY: `batch` has room for `count` page pointers, each as large as an element.
    let found = unsafe { bindings::pin_user_pages_fast(vaddr, count as i32, flags, pointers) };
    if found > 0 {
        return Ok(found as usize);
    }
    pin(mm, vaddr, pages, write, batch)
}

/// As [`pin_own`], in any address space.
///
/// # Errors
///
/// As [`pin_own`].
pub(super) fn pin(
    mm: &MmWithUser,
    vaddr: usize,
    pages: PageCount,
    write: bool,
    batch: &mut [u64],
) -> Result<usize> {
    let count = batch.len().min(pages.raw() as usize);
    let _guard = mm.mmap_read_lock();
    // SAFETY: `batch` has room for `count` page pointers, each as large as an element; the mmap
    // lock is held.
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
    match found {
        0 => Err(EFAULT),
        errno if errno < 0 => Err(Error::from_errno(errno as i32)),
        pages => Ok(pages as usize),
    }
}

/// Unpins `pages` pages from that of `pfn` on.
///
/// # Safety
///
/// Each holds a pin that the caller owns.
#[inline]
unsafe fn unpin_pages(pfn: Pfn, pages: PageCount, dirty: bool) {
    // SAFETY: As required of us; frames that were pinned have page structures.
    unsafe {
        bindings::unpin_user_page_range_dirty_lock(page_of(pfn), pages.raw() as usize, dirty);
    }
}

/// Unpins all frames of `extent`, noting that they may have been written to if `dirty`.
///
/// # Safety
///
/// Each holds a pin that the caller owns.
#[inline]
pub(super) unsafe fn unpin(extent: Extent, dirty: bool) {
    // SAFETY: As required of us.
    unsafe { unpin_pages(extent.pfn(), extent.pages(), dirty) };
}

/// Breaks off what a process that is being killed waits for.
///
/// # Errors
///
/// `EINTR` when the caller is being killed.
#[inline]
pub(super) fn check_for_kill() -> Result {
    // SAFETY: Of the calling process.
    if unsafe { bindings::siov_vfio_is_being_killed() } {
        return Err(EINTR);
    }
    Ok(())
}

/// Lets others run, for loops over much memory.
#[inline]
pub(super) fn cond_resched() {
    // SAFETY: The callers may sleep.
    unsafe { bindings::siov_vfio_cond_resched() };
}

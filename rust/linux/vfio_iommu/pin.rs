// SPDX-License-Identifier: GPL-2.0

//! Page frames behind addresses of a process, pinned for as long as devices use them.

use core::mem::size_of;
use kernel::mm::MmWithUser;
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

/// The frame number of a page. `page` comes from the kernel.
#[inline(always)]
pub(crate) fn frame_of(page: u64) -> u64 {
    // SAFETY: Written once, early at boot.
    let base = unsafe { bindings::vmemmap_base } as u64;
    page.wrapping_sub(base) / size_of::<bindings::page>() as u64
}

/// Where the page structure of a frame is, for frames that have one.
#[inline(always)]
pub(crate) fn page_of(pfn: u64) -> *mut bindings::page {
    // SAFETY: As above.
    let base = unsafe { bindings::vmemmap_base } as u64;
    base.wrapping_add(pfn.wrapping_mul(size_of::<bindings::page>() as u64)) as *mut bindings::page
}

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Memory,
    Reserved,
    Bare,
}

pub(crate) fn kind_of(pfn: u64) -> FrameKind {
    // SAFETY: No requirements.
    match unsafe { bindings::siov_vfio_frame(pfn as usize) } {
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
    // SAFETY: The lock is held by `guard`; where the function drops it, it takes it again.
    let frames = unsafe { find_frames(mm, vaddr, pages, write, error) };
    drop(guard);
    frames
}

/// Frames of a mapping without pages (`VM_PFNMAP`), as of a device's registers.
///
/// # Safety
///
/// The caller holds the mmap lock of `mm` for reading, and no pointer to one of its areas: the lock may
/// have been let go of meanwhile.
unsafe fn find_frames(
    mm: &MmWithUser,
    vaddr: usize,
    pages: u64,
    write: bool,
    otherwise: Error,
) -> Result<Found> {
    // SAFETY: The lock is held.
    let vaddr = unsafe { bindings::siov_vfio_untagged_addr(mm.as_raw(), vaddr) };
    loop {
        // SAFETY: The lock is held.
        let vma = unsafe { bindings::vma_lookup(mm.as_raw(), vaddr) };
        // SAFETY: An area that was found is valid while the lock is held.
        if vma.is_null() || unsafe { (*vma).__bindgen_anon_2.vm_flags } & bindings::VM_PFNMAP == 0 {
            return Err(otherwise);
        }
        // SAFETY: As above.
        let (pfn, addr_mask) = match unsafe { follow(mm, vma, vaddr, write) } {
            Err(e) if e == EAGAIN => continue,
            other => other?,
        };
        if kind_of(pfn) == FrameKind::Memory {
            return Err(EFAULT);
        }
        // Up to the end of the page table entry, however large that is.
        let last = pfn | (!addr_mask >> PAGE_SHIFT);
        let count = last.wrapping_sub(pfn).wrapping_add(1);
        return Ok(Found::Frames(pfn, count.min(pages)));
    }
}

/// The frame at `vaddr`, and the mask of the page table entry it comes from; faults it in.
///
/// # Safety
///
/// As [`find_frames`], and `vma` is the area of `vaddr`. After `EAGAIN` it may be gone.
unsafe fn follow(
    mm: &MmWithUser,
    vma: *mut bindings::vm_area_struct,
    vaddr: usize,
    write: bool,
) -> Result<(u64, u64)> {
    let mut args = bindings::follow_pfnmap_args {
        vma,
        address: vaddr,
        ..Default::default()
    };
    // SAFETY: The area is valid and contains the address, the lock is held.
    if unsafe { bindings::follow_pfnmap_start(&raw mut args) } != 0 {
        let mut unlocked = false;
        let mut fault = bindings::fault_flag_FAULT_FLAG_REMOTE;
        if write {
            fault |= bindings::fault_flag_FAULT_FLAG_WRITE;
        }
        // SAFETY: The lock is held, and held again on return.
        let ret =
            unsafe { bindings::fixup_user_fault(mm.as_raw(), vaddr, fault, &raw mut unlocked) };
        if unlocked {
            return Err(EAGAIN);
        }
        kernel::error::to_result(ret)?;
        // SAFETY: The lock was not let go of, so the area is still valid.
        kernel::error::to_result(unsafe { bindings::follow_pfnmap_start(&raw mut args) })?;
    }
    let result = if write && !args.writable {
        Err(EFAULT)
    } else {
        Ok((args.pfn as u64, args.addr_mask as u64))
    };
    // SAFETY: Started above, successfully.
    unsafe { bindings::follow_pfnmap_end(&raw mut args) };
    result
}

/// Lets go of frames that were pinned, and of nothing else in the extent.
///
/// # Safety
///
/// Every frame of `extent` that is memory holds a pin that the caller owns. Where `all_pinned`, every
/// frame does.
pub(crate) unsafe fn unpin(extent: Extent, dirty: bool, all_pinned: bool) -> u64 {
    if all_pinned {
        // SAFETY: As required of us.
        unsafe { unpin_run(extent.pfn(), extent.pages(), dirty) };
        return extent.pages();
    }
    let mut unpinned = 0u64;
    for index in 0..extent.pages() {
        let pfn = extent.pfn().wrapping_add(index);
        if kind_of(pfn) == FrameKind::Memory {
            // SAFETY: As required of us.
            unsafe { unpin_run(pfn, 1, dirty) };
            unpinned = unpinned.wrapping_add(1);
        }
    }
    unpinned
}

/// # Safety
///
/// The caller owns a pin on each of `pages` frames from `pfn` on.
pub(crate) unsafe fn unpin_run(pfn: u64, pages: u64, dirty: bool) {
    // SAFETY: As required of us; frames that were pinned have page structures.
    unsafe {
        bindings::unpin_user_page_range_dirty_lock(page_of(pfn), pages as usize, dirty);
    }
}

/// Where the pages of a range lie, in bytes, for callers that count in pages.
pub(crate) const fn bytes(pages: u64) -> u64 {
    pages.wrapping_mul(PAGE_SIZE)
}

/// Lets others run, for loops over much memory.
#[inline]
pub(crate) fn cond_resched() {
    // SAFETY: Callers may sleep.
    unsafe { bindings::siov_vfio_cond_resched() };
}

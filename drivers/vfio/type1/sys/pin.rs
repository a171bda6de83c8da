// SPDX-License-Identifier: GPL-2.0

//! Page frames behind addresses of a process, pinned for as long as devices use them.

use core::mem::size_of;
use kernel::error::to_result;
use kernel::mm::virt::VmaRef;
use kernel::mm::{MmWithUser, MmapReadGuard};
use kernel::prelude::*;
use linux::bindings;
use siov_type1::run::{coalesce, Extent};
use siov_types::{PageCount, Pfn, PhysAddr, PAGE_SHIFT};

/// Page pointers in a batch: a page of memory for them, as in the C driver.
pub(super) const BATCH: usize = 512;

/// Bytes of a page structure.
const STRIDE: u64 = size_of::<bindings::page>() as u64;

/// What is behind an address.
pub(super) enum Found {
    /// This many pages of memory, each of which holds a pin for the caller; their pointers are at
    /// the front of the batch.
    Pages(usize),
    /// Frames that are not memory, as of a device, which need no pin: the first, and how many, not
    /// 0.
    Frames(Pfn, PageCount),
}

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

/// How many of `pages` frames from `pfn` on come before the first that is memory.
fn frames_before_memory(pfn: Pfn, pages: PageCount) -> PageCount {
    // SAFETY: Any numbers.
    let found =
        unsafe { bindings::siov_vfio_bare_frames(pfn.raw() as usize, pages.raw() as usize) };
    PageCount::new(found as u64).unwrap_or(pages)
}

fn flags(write: bool) -> u32 {
    bindings::FOLL_LONGTERM | if write { bindings::FOLL_WRITE } else { 0 }
}

/// Finds what is behind up to `pages` pages from `vaddr` in the caller's own address space `mm`,
/// and pins it where it is memory.
///
/// Pages that are present and to be written to are taken from the page table without a lock. It
/// takes no fault then: one that user space handles would have it wait for itself. A page table
/// does not say whether memory may be read, so that pages to be read only are looked for with the
/// lock.
///
/// # Errors
///
/// Those of the kernel's `pin_user_pages_remote()`, `EFAULT` where nothing is.
pub(super) fn find_own(
    mm: &MmWithUser,
    vaddr: usize,
    pages: PageCount,
    write: bool,
    batch: &mut [u64],
) -> Result<Found> {
    if !write {
        return find(mm, vaddr, pages, write, batch);
    }
    let count = batch.len().min(pages.raw() as usize);
    let pointers = batch.as_mut_ptr().cast();
    let flags = flags(write) | bindings::FOLL_NOFAULT;
    // SAFETY: `batch` has room for `count` page pointers, each as large as an element.
    let found = unsafe { bindings::pin_user_pages_fast(vaddr, count as i32, flags, pointers) };
    if found > 0 {
        return Ok(Found::Pages(found as usize));
    }
    find(mm, vaddr, pages, write, batch)
}

/// Finds what is behind up to `pages` pages from `vaddr` in any address space, and pins it where it
/// is memory.
///
/// # Errors
///
/// As [`find_own`].
pub(super) fn find(
    mm: &MmWithUser,
    vaddr: usize,
    pages: PageCount,
    write: bool,
    batch: &mut [u64],
) -> Result<Found> {
    let count = batch.len().min(pages.raw() as usize);
    let mut guard = mm.mmap_read_lock();
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
    if found > 0 {
        return Ok(Found::Pages(found as usize));
    }
    let error = match found {
        0 => EFAULT,
        errno => Error::from_errno(errno as i32),
    };
    let (pfn, count) = find_frames(mm, &mut guard, vaddr, write, error)?;
    // The first one is no memory; the others need not be like it.
    let count = frames_before_memory(pfn, count.min(pages));
    Ok(Found::Frames(pfn, count.max(PageCount::ONE)))
}

/// Frames of a mapping without pages (`VM_PFNMAP`), as of a device's registers: the first, which is
/// no memory, and how many the entry of the page table has.
///
/// The mmap lock may be released meanwhile, and is held again on return.
fn find_frames(
    mm: &MmWithUser,
    guard: &mut MmapReadGuard<'_>,
    vaddr: usize,
    write: bool,
    otherwise: Error,
) -> Result<(Pfn, PageCount)> {
    // SAFETY: A valid address space, whose mmap lock is held.
    let vaddr = unsafe { bindings::siov_vfio_untagged_addr(mm.as_raw(), vaddr) };
    let mut faulted = false;
    loop {
        // Looked up anew after each fault, which may have released the lock.
        let area = guard.vma_lookup(vaddr).ok_or(otherwise)?;
        if area.flags() & bindings::VM_PFNMAP == 0 {
            return Err(otherwise);
        }
        match Entry::of(area, vaddr) {
            Ok(entry) => return entry.frames(write),
            Err(e) if faulted => return Err(e),
            Err(_) => {}
        }
        faulted = fault_in(mm, guard, vaddr, write)?;
    }
}

/// Faults the frame at `vaddr` into the page table; false when the lock was released meanwhile.
///
/// There are no references to areas of `guard`, which is borrowed mutably.
fn fault_in(
    mm: &MmWithUser,
    _guard: &mut MmapReadGuard<'_>,
    vaddr: usize,
    write: bool,
) -> Result<bool> {
    let mut unlocked = false;
    let mut flags = bindings::fault_flag_FAULT_FLAG_REMOTE;
    if write {
        flags |= bindings::fault_flag_FAULT_FLAG_WRITE;
    }
    // SAFETY: The lock is held, and held again on return.
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
    fn frames(&self, write: bool) -> Result<(Pfn, PageCount)> {
        let pfn = Pfn::new(self.args.pfn as u64).ok_or(EFAULT)?;
        if write && !self.args.writable || kind_of(pfn) == FrameKind::Memory {
            return Err(EFAULT);
        }
        // However large the entry is: its size is a power of two.
        let size = !(self.args.addr_mask as u64) >> PAGE_SHIFT;
        let rest = size & !pfn.raw();
        let count = rest.checked_add(1).and_then(PageCount::new);
        Ok((pfn, count.ok_or(EFAULT)?))
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        // SAFETY: Started in `of`, successfully.
        unsafe { bindings::follow_pfnmap_end(&raw mut self.args) };
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

/// As [`unpin`], but for frames of `extent` that are not memory.
///
/// # Safety
///
/// Each that is memory holds a pin that the caller owns.
pub(super) unsafe fn unpin_memory(extent: Extent, dirty: bool) {
    let (mut pfn, mut left) = (extent.pfn(), extent.pages());
    loop {
        let bare = frames_before_memory(pfn, left);
        let memory = pfn.checked_add(bare).zip(left.checked_sub(bare));
        let Some((memory, rest)) = memory.filter(|(_, rest)| *rest != PageCount::ZERO) else {
            return;
        };
        // SAFETY: As required of us: it is memory.
        unsafe { unpin_pages(memory, PageCount::ONE, dirty) };
        let after = memory.checked_add(PageCount::ONE);
        let Some((after, rest)) = after.zip(rest.checked_sub(PageCount::ONE)) else {
            return;
        };
        (pfn, left) = (after, rest);
    }
}

/// Lets others run, for loops over much memory.
#[inline]
pub(super) fn cond_resched() {
    // SAFETY: The callers may sleep.
    unsafe { bindings::siov_vfio_cond_resched() };
}

// SPDX-License-Identifier: GPL-2.0

//! Frames behind addresses of a process that are not pages of memory (`VM_PFNMAP`), as registers of
//! devices: nothing can be pinned there. They are the process's as long as the page table says so,
//! which a [`Notifier`](super::notifier::Notifier) tells.

use super::pin::{kind_of, FrameKind};
use crate::group::Group;
use kernel::error::to_result;
use kernel::mm::virt::VmaRef;
use kernel::mm::{MmWithUser, MmapReadGuard};
use kernel::prelude::*;
use linux::{bindings, iommu};
use siov_type1::run::Extent;
use siov_types::{PageCount, Pfn, PAGE_SHIFT};

/// Frames that follow each other, in one area of a process (`struct vm_area_struct`).
pub(super) struct FrameRun {
    /// The frames, of which none is memory.
    pub(super) extent: Extent,
    /// The group of the VFIO device whose registers they are, if they are such.
    pub(super) owner: Option<Group>,
}

/// How many of `pages` frames from `pfn` on come before the first that is memory.
fn frames_before_memory(pfn: Pfn, pages: PageCount) -> PageCount {
    // SAFETY: Any numbers.
    let found =
        unsafe { bindings::siov_vfio_bare_frames(pfn.raw() as usize, pages.raw() as usize) };
    PageCount::new(found as u64).unwrap_or(pages)
}

/// The group of the VFIO device whose registers `area` maps, if it does.
///
/// # Errors
///
/// `EFAULT` for a device without a group.
fn owner_of(area: &VmaRef) -> Result<Option<Group>> {
    let mut group = core::ptr::null_mut();
    // SAFETY: The mmap lock is held where there is a reference to an area.
    if !unsafe { bindings::siov_vfio_owner(area.as_ptr(), &raw mut group) } {
        return Ok(None);
    }
    let group = group.cast::<iommu::Group>();
    // SAFETY: NULL, or the group of a device that is open as long as the area exists; a group is at
    // the address of its structure.
    let group = unsafe { group.as_ref() }.ok_or(EFAULT)?;
    Ok(Some(group.into()))
}

/// Finds up to `pages` frames from `vaddr` in an address space.
///
/// They may be others when this returns, which [`Notifier`](super::notifier::Notifier) tells. The
/// mmap lock is taken.
///
/// # Errors
///
/// `otherwise` where there is no such area; `EFAULT` for memory, and for what cannot be written to.
pub(super) fn find_run(
    mm: &MmWithUser,
    vaddr: usize,
    pages: PageCount,
    write: bool,
    otherwise: Error,
) -> Result<FrameRun> {
    let mut guard = mm.mmap_read_lock();
    // SAFETY: A valid address space, whose mmap lock is held.
    let vaddr = unsafe { bindings::siov_vfio_untagged_addr(mm.as_raw(), vaddr) };
    let area = guard.vma_lookup(vaddr).ok_or(otherwise)?;
    if area.flags() & bindings::VM_PFNMAP == 0 {
        return Err(otherwise);
    }
    let owner = owner_of(area)?;
    let rest = PageCount::in_bytes(area.end().saturating_sub(vaddr) as u64);
    let most = rest.min(pages);

    let mut extent = frames_at(mm, &mut guard, vaddr, write, most, otherwise)?;
    while let Some(left) = most.checked_sub(extent.pages()) {
        let next = vaddr.checked_add(extent.len as usize);
        let Some(next) = next.filter(|_| left != PageCount::ZERO) else {
            break;
        };
        match frames_at(mm, &mut guard, next, write, left, otherwise) {
            Ok(frames) if extent.grow(frames) => {}
            _ => break,
        }
    }
    Ok(FrameRun { extent, owner })
}

/// Finds up to `most` frames from `vaddr` on, as far as one entry of the page table goes.
///
/// The mmap lock may be released meanwhile, and is held again on return.
///
/// # Errors
///
/// As of [`find_run`].
fn frames_at(
    mm: &MmWithUser,
    guard: &mut MmapReadGuard<'_>,
    vaddr: usize,
    write: bool,
    most: PageCount,
    otherwise: Error,
) -> Result<Extent> {
    let mut faulted = false;
    loop {
        // Looked up anew after each fault, which may have released the lock.
        let area = guard.vma_lookup(vaddr).ok_or(otherwise)?;
        if area.flags() & bindings::VM_PFNMAP == 0 {
            return Err(otherwise);
        }
        match Entry::of(area, vaddr) {
            Ok(entry) => {
                let (pfn, count) = entry.frames(write)?;
                // The first one is no memory; the others need not be like it.
                let count = frames_before_memory(pfn, count.min(most));
                return Ok(Extent::new(pfn, count.max(PageCount::ONE)));
            }
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

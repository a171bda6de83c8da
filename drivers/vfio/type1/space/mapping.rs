// SPDX-License-Identifier: GPL-2.0

//! One mapping of user space, as `VFIO_IOMMU_MAP_DMA` made it: whose memory it is, who pays for it,
//! and what was written to.

use crate::error::Failure;
use crate::sys::access::Buffer;
use crate::sys::account::{account, may_exceed_limit, Change};
use crate::sys::ioas::{Memory, Pins};
use kernel::alloc::KVVec;
use kernel::mm::Mm;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::task::Task;
use siov_type1::bitmap;
use siov_type1::request::BITMAP_PAGES_MAX;
use siov_types::{Iova, PageCount};

/// A process virtual address, or none.
struct ProcessAddress(usize);

impl ProcessAddress {
    /// Of no page: addresses of mappings are multiples of the page size.
    const INVALID: Self = Self(usize::MAX);

    fn get(&self) -> Option<usize> {
        self.is_valid().then_some(self.0)
    }

    fn is_valid(&self) -> bool {
        self.0 != Self::INVALID.0
    }
}

/// What is kept of a mapping. Its range and what is pinned of it are the business of
/// [`Ioas`](crate::sys::ioas::Ioas).
pub(crate) struct Mapping {
    /// Of the first byte.
    vaddr: ProcessAddress,
    mm: ARef<Mm>,
    /// The leader of the thread group that made the mapping, whose limit applies, also to pages
    /// that are pinned later from elsewhere. `None` if it could exceed it then (`CAP_IPC_LOCK`).
    limit: Option<ARef<Task>>,
    /// Pages that the process has been charged for.
    locked: PageCount,
    dirty: Option<KBox<KVVec<u64>>>,
}

impl Mapping {
    /// A mapping of the calling process.
    ///
    /// # Errors
    ///
    /// `ENODEV` in a kernel thread.
    pub(crate) fn new(vaddr: usize) -> Result<Self> {
        let current = current!();
        let mm: &Mm = current.mm().ok_or(ENODEV)?;
        Ok(Self {
            vaddr: ProcessAddress(vaddr),
            mm: mm.into(),
            limit: (!may_exceed_limit()).then(|| current.group_leader().into()),
            locked: PageCount::ZERO,
            dirty: None,
        })
    }

    /// Whether its process address is valid: it is not after `VFIO_DMA_UNMAP_FLAG_VADDR`.
    pub(crate) fn has_vaddr(&self) -> bool {
        self.vaddr.is_valid()
    }

    /// Invalidates the process address.
    pub(crate) fn invalidate_vaddr(&mut self) {
        self.vaddr = ProcessAddress::INVALID;
    }

    /// Has the calling process take over the memory, which it finds at `vaddr`.
    ///
    /// # Errors
    ///
    /// `ENODEV`, `ENOMEM` past the limit of the process, `EINTR`; nothing has changed then.
    pub(crate) fn change_owner(&mut self, vaddr: usize) -> Result {
        let current = current!();
        let mm: &Mm = current.mm().ok_or(ENODEV)?;
        if mm.as_raw() != self.mm.as_raw() {
            let limit: Option<ARef<Task>> =
                (!may_exceed_limit()).then(|| current.group_leader().into());
            account(mm, limit.as_deref(), Change::Charge(self.locked))?;
            // The old owner may have exited, which has settled its account.
            let _ = self.account(Change::Refund(self.locked));
            (self.mm, self.limit) = (mm.into(), limit);
        }
        self.vaddr = ProcessAddress(vaddr);
        Ok(())
    }

    /// Copies between the front of `buffer` and `len` bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// Those of [`Buffer::copy`], `EBUSY` while the process address is invalid.
    pub(crate) fn copy(&self, offset: u64, len: usize, buffer: &mut Buffer<'_>) -> Result {
        let vaddr = self.vaddr()?.checked_add(usize::try_from(offset)?);
        buffer.copy(&self.mm, vaddr.ok_or(EFAULT)?, len)
    }

    fn account(&self, change: Change) -> Result {
        account(&self.mm, self.limit.as_deref(), change)
    }

    /// Refunds what was charged, but for `kept` pages. A process that has exited has settled its
    /// account.
    pub(crate) fn settle(&mut self, kept: PageCount) {
        let change = match self.locked.checked_sub(kept) {
            Some(more) => Change::Refund(more),
            None => Change::Charge(kept.saturating_sub(self.locked)),
        };
        if self.account(change).is_ok() {
            self.locked = kept;
        }
    }

    /// Begins to track which pages are written to, in pages of `1 << shift` bytes. The mapping has
    /// `size` bytes from `iova` on.
    ///
    /// # Errors
    ///
    /// `EINVAL` for more pages than a bitmap can have, `ENOMEM`.
    pub(crate) fn track(&mut self, iova: Iova, size: u64, shift: u32, pins: &Pins) -> Result {
        let pages = size >> (shift & 63);
        if pages > BITMAP_PAGES_MAX {
            return Err(EINVAL);
        }
        let words = usize::try_from(bitmap::words(pages))?;
        let map = KVVec::from_elem(0u64, words, GFP_KERNEL)?;
        self.dirty = Some(KBox::new(map, GFP_KERNEL)?);
        self.mark_pinned(iova, shift, pins);
        Ok(())
    }

    /// Ends tracking.
    pub(crate) fn untrack(&mut self) {
        self.dirty = None;
    }

    /// Marks `len` bytes from `offset` on as written to, if that is tracked.
    pub(crate) fn mark(&mut self, offset: u64, len: u64, shift: u32) {
        let Some(map) = &mut self.dirty else {
            return;
        };
        let first = offset >> (shift & 63);
        let last = offset.saturating_add(len).saturating_sub(1) >> (shift & 63);
        bitmap::set(map, first, last.saturating_sub(first).saturating_add(1));
    }

    /// Clears the marks, except for those of what drivers have pinned and may be writing to. The
    /// mapping begins at `iova`.
    pub(crate) fn clear_dirty(&mut self, iova: Iova, shift: u32, pins: &Pins) {
        if let Some(map) = &mut self.dirty {
            bitmap::clear(map);
        }
        self.mark_pinned(iova, shift, pins);
    }

    fn mark_pinned(&mut self, iova: Iova, shift: u32, pins: &Pins) {
        let Some(map) = &mut self.dirty else {
            return;
        };
        let offsets = pins.addresses().filter_map(|page| page.checked_sub(iova));
        offsets.for_each(|offset| bitmap::set(map, offset >> (shift & 63), 1));
    }

    /// The bitmap, a bit for each page; empty when nothing is tracked.
    pub(crate) fn dirty(&self) -> &[u64] {
        match &self.dirty {
            Some(map) => map,
            None => &[],
        }
    }
}

impl Memory for Mapping {
    fn vaddr(&self) -> Result<usize> {
        self.vaddr.get().ok_or(EBUSY)
    }

    fn mm(&self) -> &Mm {
        &self.mm
    }

    fn charge(&mut self, pages: PageCount) -> Result<(), Failure> {
        let locked = self.locked.checked_add(pages).ok_or(ENOMEM)?;
        self.account(Change::Charge(pages))
            .map_err(|e| match &self.limit {
                Some(task) if e == ENOMEM => Failure::MemoryLimit(task.pid()),
                _ => e.into(),
            })?;
        self.locked = locked;
        Ok(())
    }

    fn refund(&mut self, pages: PageCount) {
        let left = self.locked.saturating_sub(pages);
        // Not after the exit of the process.
        if self.account(Change::Refund(pages)).is_ok() {
            self.locked = left;
        }
    }
}

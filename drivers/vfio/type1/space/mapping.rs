// SPDX-License-Identifier: GPL-2.0

//! One mapping of user space, as `VFIO_IOMMU_MAP_DMA` made it.

use crate::space::Failure;
use crate::sys::account::{self, Payer};
use crate::sys::pin::{self, Found, FrameKind};
use kernel::alloc::KVVec;
use kernel::mm::Mm;
use kernel::prelude::*;
use kernel::rbtree::RBTree;
use kernel::sync::aref::ARef;
use kernel::task::Task;
use linux::bindings;
use siov_type1::bitmap;
use siov_type1::request::BITMAP_PAGES_MAX;
use siov_type1::run::{Extent, Granule};
use siov_types::{IovaRange, PAGE_SHIFT, PAGE_SIZE};

/// What devices may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access(u8);

impl Access {
    /// Reading and writing.
    pub(crate) const fn new(read: bool, write: bool) -> Self {
        Self(read as u8 | (write as u8) << 1)
    }

    /// From bits of `IOMMU_READ` and `IOMMU_WRITE`, as C drivers ask.
    pub(crate) const fn from_prot(prot: i32) -> Self {
        Self::new(
            prot as u32 & bindings::IOMMU_READ != 0,
            prot as u32 & bindings::IOMMU_WRITE != 0,
        )
    }

    /// Devices may read.
    pub(crate) const fn reads(self) -> bool {
        self.0 & 1 != 0
    }

    /// Devices may write.
    pub(crate) const fn writes(self) -> bool {
        self.0 & 2 != 0
    }

    /// Whether everything that `other` asks for is permitted.
    pub(crate) const fn permits(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn prot(self) -> i32 {
        let mut prot = 0;
        if self.reads() {
            prot |= bindings::IOMMU_READ as i32;
        }
        if self.writes() {
            prot |= bindings::IOMMU_WRITE as i32;
        }
        prot
    }
}

/// A page that a driver of an emulated device has asked for.
struct Pin {
    pfn: u64,
    count: u32,
}

/// A range of IOVA and the memory of a process behind it.
pub(crate) struct Mapping {
    vaddr: usize,
    /// Leads the thread group that made the mapping: its limit counts, also for pages that are pinned
    /// later from elsewhere.
    task: ARef<Task>,
    mm: ARef<Mm>,
    /// Pages that the process has paid for.
    locked: usize,
    pins: RBTree<u64, Pin>,
    dirty: Option<KBox<KVVec<u64>>>,
    access: Access,
    unlimited: bool,
    stale: bool,
    /// In the tables of the domains.
    pub(crate) mapped: bool,
    /// Has frames that are nobody's memory, which hold no pin.
    pub(crate) has_bare_frames: bool,
    pub(crate) granule: Granule,
}

impl Mapping {
    /// A mapping of the calling process, in no table yet.
    ///
    /// # Errors
    ///
    /// `ENODEV` in a kernel thread.
    pub(crate) fn new(vaddr: usize, access: Access) -> Result<Self> {
        let current = current!();
        let mm: &Mm = current.mm().ok_or(ENODEV)?;
        Ok(Self {
            vaddr,
            task: current.group_leader().into(),
            mm: mm.into(),
            locked: 0,
            pins: RBTree::new(),
            dirty: None,
            access,
            unlimited: account::may_exceed_limit(),
            stale: false,
            mapped: false,
            has_bare_frames: false,
            granule: Granule::default(),
        })
    }

    /// Process virtual address of the first byte.
    pub(crate) fn vaddr(&self) -> usize {
        self.vaddr
    }

    /// What devices may do.
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// Whether devices reach all of it through the domains of the container.
    pub(crate) fn is_mapped(&self) -> bool {
        self.mapped
    }

    /// Whether the process address is void, after `VFIO_DMA_UNMAP_FLAG_VADDR`.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale
    }

    /// Declares the process address void, or valid again.
    pub(crate) fn set_stale(&mut self, stale: bool) {
        self.stale = stale;
    }

    /// Whether drivers have pinned pages of it.
    pub(crate) fn has_pins(&self) -> bool {
        !self.pins.is_empty()
    }

    pub(crate) fn mm(&self) -> &Mm {
        &self.mm
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
            let mm: ARef<Mm> = mm.into();
            let task: ARef<Task> = current.group_leader().into();
            let unlimited = account::may_exceed_limit();
            let pages = self.locked as isize;
            Payer {
                task: &task,
                mm: &mm,
                unlimited,
            }
            .account(pages)?;
            // The old owner may have exited, which has settled its account.
            let _ = self.pay(pages.wrapping_neg());
            (self.task, self.mm, self.unlimited) = (task, mm, unlimited);
        }
        self.vaddr = vaddr;
        self.stale = false;
        Ok(())
    }

    fn pay(&self, pages: isize) -> Result {
        Payer {
            task: &self.task,
            mm: &self.mm,
            unlimited: self.unlimited,
        }
        .account(pages)
    }

    /// Charges `pages` to the process, or gives them back when negative.
    ///
    /// # Errors
    ///
    /// [`Failure::MemoryLimit`] past its limit; `ESRCH` after its exit, `EINTR`.
    pub(crate) fn charge(&mut self, pages: isize) -> Result<(), Failure> {
        self.pay(pages).map_err(|e| match e {
            e if e == ENOMEM => Failure::MemoryLimit(self.task.pid()),
            e => Failure::Other(e),
        })?;
        self.locked = self.locked.wrapping_add_signed(pages);
        Ok(())
    }

    /// Gives all back that was charged, but for what drivers have pinned if that was, too. A process that
    /// has exited has settled its account.
    pub(crate) fn settle(&mut self, pins_are_charged: bool) {
        let kept = if pins_are_charged {
            self.pinned_memory()
        } else {
            0
        };
        let _ = self.charge((kept as isize).wrapping_sub(self.locked as isize));
    }

    /// Pages of `extent` from `iova` on that drivers have pinned, and thereby been charged for.
    pub(crate) fn pins_within(&self, iova: u64, pages: u64) -> u64 {
        if self.pins.is_empty() {
            return 0;
        }
        let bytes = pin::bytes(pages);
        let within = |page: &&u64| page.checked_sub(iova).is_some_and(|offset| offset < bytes);
        self.pins.keys().filter(within).count() as u64
    }

    /// Pages pinned by drivers that are somebody's memory.
    fn pinned_memory(&self) -> usize {
        let memory = |pin: &&Pin| pin::kind_of(pin.pfn) == FrameKind::Memory;
        self.pins.values().filter(memory).count()
    }

    /// Pins the page at `iova` for a driver, charging the process if `charged`, and returns its frame,
    /// which has a page structure.
    ///
    /// # Errors
    ///
    /// `ENODEV` after the exit of the process, `EINVAL` for memory without page structures, `ENOMEM`, and
    /// those of charging and pinning.
    pub(crate) fn pin(&mut self, iova: u64, offset: u64, charged: bool) -> Result<u64, Failure> {
        if let Some(pin) = self.pins.get_mut(&iova) {
            pin.count = pin.count.wrapping_add(1);
            return Ok(pin.pfn);
        }
        let node = kernel::rbtree::RBTreeNodeReservation::new(GFP_KERNEL)?;
        let mm = self.mm.mmget_not_zero().ok_or(ENODEV)?;
        let vaddr = self.vaddr.wrapping_add(offset as usize);
        let mut batch = [0u64; 1];
        let pfn = match pin::find(&mm, vaddr, 1, self.access.writes(), &mut batch)? {
            Found::Pages(_) => pin::frame_of(batch[0]),
            Found::Frames(pfn, _) => pfn,
        };
        match pin::kind_of(pfn) {
            FrameKind::Bare => return Err(EINVAL.into()),
            FrameKind::Memory if charged => {
                if let Err(e) = self.charge(1) {
                    self.unpin_frame(pfn);
                    return Err(e);
                }
            }
            _ => {}
        }
        self.pins
            .insert(node.into_node(iova, Pin { pfn, count: 1 }));
        Ok(pfn)
    }

    /// Undoes one [`Self::pin`]; does nothing where there was none.
    pub(crate) fn unpin(&mut self, iova: u64, charged: bool) {
        let Some(pin) = self.pins.get_mut(&iova) else {
            return;
        };
        pin.count = pin.count.wrapping_sub(1);
        if pin.count != 0 {
            return;
        }
        let pfn = pin.pfn;
        self.pins.remove(&iova);
        let pages = self.unpin_frame(pfn);
        if charged {
            // Not after the exit of the process.
            let _ = self.charge((pages as isize).wrapping_neg());
        }
    }

    /// Lets go of a frame that [`Self::pin`] has pinned, where it is memory; how many frames that were.
    fn unpin_frame(&self, pfn: u64) -> u64 {
        let extent = Extent {
            phys: pfn << PAGE_SHIFT,
            len: PAGE_SIZE,
        };
        // SAFETY: The callers do it once.
        unsafe { pin::unpin(extent, self.access.writes(), false) }
    }

    /// Begins to track which pages are written to, in pages of `1 << shift` bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` for more pages than a bitmap can have, `ENOMEM`.
    pub(crate) fn track(&mut self, range: IovaRange, shift: u32) -> Result {
        let iova = range.first().raw();
        // A mapping of every address would be refused one line below.
        let size = range.last().raw().wrapping_sub(iova).saturating_add(1);
        let pages = size >> (shift & 63);
        if pages > BITMAP_PAGES_MAX {
            return Err(EINVAL);
        }
        let words = usize::try_from(bitmap::words(pages))?;
        let map = KVVec::from_elem(0u64, words, GFP_KERNEL)?;
        self.dirty = Some(KBox::new(map, GFP_KERNEL)?);
        self.mark_pinned(iova, shift);
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

    /// Forgets what was written to, except for what drivers have pinned and may be writing to.
    pub(crate) fn forget_dirty(&mut self, iova: u64, shift: u32) {
        if let Some(map) = &mut self.dirty {
            bitmap::clear(map);
        }
        self.mark_pinned(iova, shift);
    }

    fn mark_pinned(&mut self, iova: u64, shift: u32) {
        let Some(map) = &mut self.dirty else {
            return;
        };
        for page in self.pins.keys() {
            bitmap::set(map, page.wrapping_sub(iova) >> (shift & 63), 1);
        }
    }

    /// The bitmap, a bit for each page; empty when nothing is tracked.
    pub(crate) fn dirty(&self) -> &[u64] {
        match &self.dirty {
            Some(map) => map,
            None => &[],
        }
    }
}

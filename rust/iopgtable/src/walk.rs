// SPDX-License-Identifier: GPL-2.0

//! Looking translations up.

use crate::atomic::Ordering;
use crate::config::LeafSize;
use crate::format::{is_leaf, leaf_address, Format, Prot};
use crate::level::Level;
use crate::memory::{PageMemory, Table};
use crate::page_table::{load, PageTable};
use core::ops::ControlFlow;
use siov_types::{Iova, IovaRange, PhysAddr};

/// One page of a page table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// Its first address.
    pub iova: Iova,
    /// What the first address translates to.
    pub phys: PhysAddr,
    /// Its size.
    pub size: LeafSize,
    /// What it permits, which can be more than was asked for: see
    /// [`FirstStage`](crate::FirstStage).
    pub prot: Prot,
    /// Hardware has used it, or the format sets this from the start.
    pub accessed: bool,
    /// Hardware has written through it, or the format sets this from the start.
    pub dirty: bool,
}

impl<F: Format, M: PageMemory> PageTable<F, M> {
    /// The physical address for `iova`, of any alignment; `None` when it is not mapped.
    #[inline]
    pub fn iova_to_phys(&self, iova: Iova) -> Option<PhysAddr> {
        let (level, entry) = self.find(iova.raw())?;
        if entry == 0 {
            return None;
        }
        let offset = iova.raw() & level.size().wrapping_sub(1);
        Some(PhysAddr::new(leaf_address(level, entry) | offset))
    }

    /// The page that `iova`, of any alignment, lies in; `None` when it is not mapped.
    pub fn leaf(&self, iova: Iova) -> Option<Leaf> {
        let (level, entry) = self.find(iova.raw())?;
        if entry == 0 {
            return None;
        }
        Some(leaf::<F>(iova.raw(), level, entry))
    }

    /// Passes the pages that overlap `range` to `visitor`, in ascending order, until it breaks.
    pub fn for_each_leaf<B>(
        &self,
        range: IovaRange,
        mut visitor: impl FnMut(Leaf) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let last = range.last().raw();
        let mut iova = range.first().raw();
        while iova <= last {
            let Some((level, entry)) = self.find(iova) else {
                break;
            };
            if entry != 0 {
                visitor(leaf::<F>(iova, level, entry))?;
            }
            // Not past the end of u64: `find` answers for 57 bits at most.
            iova = Iova::new(iova)
                .align_down(level.size())
                .raw()
                .wrapping_add(level.size());
        }
        ControlFlow::Continue(())
    }

    /// Number of table pages in use, the root included, found by walking them.
    pub fn table_pages(&self) -> u64 {
        self.count_tables(self.root_table(), self.top)
    }

    /// The entry at which the walk for `iova` ends, empty or a leaf, and its level; `None` for an
    /// address beyond the input width.
    #[inline]
    fn find(&self, iova: u64) -> Option<(Level, u64)> {
        if iova & self.beyond_iova != 0 {
            return None;
        }
        let mut table = self.root_table();
        let mut level = self.top;
        loop {
            let entry = load(table, level, iova);
            if entry == 0 || is_leaf(level, entry) {
                return Some((level, entry));
            }
            table = self.table(entry);
            level = level.below();
        }
    }

    fn count_tables(&self, table: &Table, level: Level) -> u64 {
        let mut tables = 1u64;
        if level > Level::PT {
            for slot in table.entries() {
                let entry = slot.load(Ordering::Acquire);
                if entry != 0 && !is_leaf(level, entry) {
                    let below = self.table(entry);
                    tables = tables.wrapping_add(self.count_tables(below, level.below()));
                }
            }
        }
        tables
    }
}

fn leaf<F: Format>(iova: u64, level: Level, entry: u64) -> Leaf {
    Leaf {
        iova: Iova::new(iova).align_down(level.size()),
        phys: PhysAddr::new(leaf_address(level, entry)),
        size: LeafSize::at(level),
        prot: F::prot(entry),
        accessed: entry & F::ACCESSED != 0,
        dirty: entry & F::DIRTY != 0,
    }
}

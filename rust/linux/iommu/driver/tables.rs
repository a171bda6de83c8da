// SPDX-License-Identifier: GPL-2.0

//! The page tables of a domain.
//!
//! `siov_iopgtable` has the algorithms, and relies on two rules that it cannot check: a range of
//! IOVA has one user at a time, and unlinked tables are not freed while somebody may still walk
//! them. This module keeps both. It alone knows [`Memory`], so page tables over it exist in
//! [`PageTables`] only, whose functions that change or look up a range are `unsafe fn`; and
//! [`PageTables::walk`], which looks at ranges of other users, keeps tables from being freed.
//!
//! Lock order: [`PageTables::walking`] is innermost; a walk's visitor runs with it held.

use super::gather::{Gather, Replaced};
use super::pages::{Gfp, TableMemory};
use crate::error::{eaddrinuse, eopnotsupp};
use crate::sync::RawSpinLock;
use crate::{bindings, mm, new_raw_spinlock};
use core::ffi::c_void;
use core::ops::ControlFlow;
use core::sync::atomic::{fence, AtomicU32, AtomicU64, Ordering};
use kernel::prelude::*;
use siov_iopgtable::{
    Config, Error as TableError, FirstStage, Leaf, PageMemory, PageTable, Prot, SecondStage, Table,
    TableAddr, Unmapped,
};
use siov_types::{Iova, IovaRange, PhysAddr, PAGE_SIZE};

/// Which stage of translation a page table is for (VT-d spec, 3.6 and 3.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// First stage: the processor's format.
    First,
    /// Second stage: VT-d's own format.
    Second,
}

/// Memory of page tables. Known to this module alone: see there.
pub(super) struct Memory(TableMemory);

/// The address of a table in the direct map.
#[inline(always)]
pub(super) fn virt(table: &TableAddr<Memory>) -> *mut c_void {
    mm::phys_to_virt(table.phys()).cast()
}

impl PageMemory for Memory {
    type Context = Gfp;

    #[inline]
    fn alloc(&self, gfp: Gfp) -> Option<PhysAddr> {
        let page = self.0.alloc(PAGE_SIZE as usize, gfp)?;
        Some(mm::virt_to_phys(page.cast()))
    }

    #[inline(always)]
    fn table(&self, table: &TableAddr<Self>) -> &Table {
        // SAFETY: A `TableAddr<Memory>` comes from `alloc` and has not been freed, by the rules of
        // the module: the page is in the direct map, aligned, of the size of a `Table`, and
        // accessed by atomics only.
        unsafe { &*virt(table).cast::<Table>() }
    }

    fn free(&self, table: TableAddr<Self>) {
        // SAFETY: As above, and `table` is passed by value: it is used no more.
        unsafe { bindings::iommu_free_pages(virt(&table)) };
    }

    #[inline(always)]
    fn publish(&self, entries: &[AtomicU64]) {
        self.0.publish(entries);
    }

    #[inline(always)]
    fn coherent(&self) -> bool {
        self.0.coherent
    }
}

enum Tables {
    First(PageTable<FirstStage, Memory>),
    Second(PageTable<SecondStage, Memory>),
}

/// Calls the same function for either format.
macro_rules! either {
    ($tables:expr, $t:ident => $call:expr) => {
        match $tables {
            Tables::First($t) => $call,
            Tables::Second($t) => $call,
        }
    };
}

/// The page tables of a domain. Only the domain changes them, for the IOMMU core; what a driver has
/// is a view.
#[pin_data]
pub struct PageTables {
    tables: Tables,
    /// Walks that are under way, or wait for `walking`.
    walkers: AtomicU32,
    #[pin]
    walking: RawSpinLock<()>,
}

impl PageTables {
    /// Empty tables.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` and `EINVAL` for a `config` that the format does not have, `ENOMEM`.
    pub(super) fn new(
        stage: Stage,
        config: Config,
        memory: TableMemory,
    ) -> Result<impl PinInit<Self>> {
        let memory = Memory(memory);
        let tables = match stage {
            Stage::First => {
                Tables::First(PageTable::new(memory, config, Gfp::KERNEL).map_err(errno)?)
            }
            Stage::Second => {
                Tables::Second(PageTable::new(memory, config, Gfp::KERNEL).map_err(errno)?)
            }
        };
        Ok(pin_init!(Self {
            tables,
            walkers: AtomicU32::new(0),
            walking <- new_raw_spinlock!((), "linux::iommu walking"),
        }))
    }

    /// Which stage translates.
    #[inline]
    pub fn stage(&self) -> Stage {
        match self.tables {
            Tables::First(_) => Stage::First,
            Tables::Second(_) => Stage::Second,
        }
    }

    /// The shape of the tables.
    #[inline]
    pub fn config(&self) -> &Config {
        either!(&self.tables, t => t.config())
    }

    /// Whether the tables are for a walker that snoops the CPU's caches.
    #[inline]
    pub fn is_coherent(&self) -> bool {
        either!(&self.tables, t => t.memory().coherent())
    }

    /// Physical address of the root table, for the hardware.
    #[inline]
    pub fn root(&self) -> PhysAddr {
        either!(&self.tables, t => t.root())
    }

    /// Passes the leaves in `range` to `visitor`, until it breaks with the address to go on from;
    /// `None` when there is nothing more. Interrupts are off meanwhile.
    pub fn walk(
        &self,
        range: IovaRange,
        visitor: impl FnMut(Leaf) -> ControlFlow<Option<Iova>>,
    ) -> Option<Iova> {
        self.with_tables_kept(|| {
            let end = either!(&self.tables, t => t.for_each_leaf(range, visitor));
            end.break_value().flatten()
        })
    }

    /// Number of pages that the tables take.
    pub fn table_pages(&self) -> u64 {
        self.with_tables_kept(|| either!(&self.tables, t => t.table_pages()))
    }

    /// Calls `f` while no table is freed.
    fn with_tables_kept<R>(&self, f: impl FnOnce() -> R) -> R {
        // Before a table is looked at: whoever frees tables has unlinked them before it looks here.
        // Whichever comes first in the order of these two fences, either the walk does not find the
        // tables, or it is waited for.
        self.walkers.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let _walking = self.walking.lock();
        let result = f();
        self.walkers.fetch_sub(1, Ordering::Release);
        result
    }

    /// Waits for walks that may have found tables which have been unlinked.
    #[inline(always)]
    pub(super) fn wait_for_walks(&self) {
        fence(Ordering::SeqCst);
        if self.walkers.load(Ordering::Acquire) != 0 {
            self.wait_for_one();
        }
    }

    #[cold]
    fn wait_for_one(&self) {
        // Walks that begin after this do not find them.
        drop(self.walking.lock());
    }

    /// Maps `len` bytes at `iova` to `phys` and returns how many bytes it mapped, also on error;
    /// tables that leaves have replaced go to `replaced`.
    ///
    /// # Safety
    ///
    /// No other call maps, unmaps or looks up addresses of the range meanwhile.
    #[inline(always)]
    pub(super) unsafe fn map(
        &self,
        iova: Iova,
        phys: PhysAddr,
        len: u64,
        prot: Prot,
        gfp: Gfp,
        replaced: &mut Replaced,
    ) -> (u64, Result<(), TableError>) {
        either!(&self.tables, t => t.map(iova, phys, len, prot, gfp, replaced))
    }

    /// Unmaps `len` bytes from `iova` on, up to the first hole.
    ///
    /// # Safety
    ///
    /// As for [`Self::map`].
    #[inline(always)]
    pub(super) unsafe fn unmap(&self, iova: Iova, len: u64, gather: &mut Gather) -> Unmapped {
        either!(&self.tables, t => t.unmap(iova, len, Gfp::ATOMIC, gather))
    }

    /// The translation of `iova`.
    ///
    /// # Safety
    ///
    /// As for [`Self::map`], for `iova`.
    #[inline(always)]
    pub(super) unsafe fn iova_to_phys(&self, iova: Iova) -> Option<PhysAddr> {
        either!(&self.tables, t => t.iova_to_phys(iova))
    }
}

/// What the kernel's generic page tables return in the same situation.
#[cold]
pub(super) fn errno(error: TableError) -> Error {
    match error {
        TableError::Levels => eopnotsupp(),
        TableError::Width | TableError::Empty | TableError::Prot => EINVAL,
        TableError::Misaligned | TableError::TableAddress => ENXIO,
        TableError::InputRange | TableError::OutputRange => ERANGE,
        TableError::Exists => eaddrinuse(),
        TableError::NoMemory => ENOMEM,
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Entering translations.

use crate::atomic::{AtomicU64, Ordering};
use crate::error::Error;
use crate::format::{is_leaf, size_bit, Format, Prot, ADDRESS, PAGE_SIZE_BIT};
use crate::level::Level;
use crate::memory::{Gather, PageMemory, Table, TableAddr, CHUNK, WHOLE_CHUNK};
use crate::page_table::PageTable;
use core::slice;
use siov_types::{Iova, PhysAddr, PAGE_SIZE};

impl<F: Format, M: PageMemory> PageTable<F, M> {
    /// Maps `len` bytes from `iova` on to physical memory from `phys` on.
    ///
    /// Each part gets the largest page that its alignment, what is left, and the configuration
    /// allow. Returns the number of bytes that were mapped, all of them or those before an error.
    ///
    /// A large page takes the place of an empty table that an earlier unmap left there. That table
    /// goes to `gather`, and the caller has to invalidate the mapped range before it tells anyone
    /// that the range is mapped: the walker may still hold the table in a paging-structure cache.
    /// When nothing was gathered, there is nothing to invalidate beyond what a new mapping needs.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`], [`Error::Prot`], [`Error::Misaligned`], [`Error::InputRange`],
    /// [`Error::OutputRange`]: nothing was mapped. [`Error::Exists`]: the next page is mapped
    /// already, or, where a large page was to go, any page within it. [`Error::NoMemory`],
    /// [`Error::TableAddress`]: no memory for the next table.
    #[inline]
    pub fn map(
        &self,
        iova: Iova,
        phys: PhysAddr,
        len: u64,
        prot: Prot,
        context: M::Context,
        gather: &mut impl Gather<M>,
    ) -> (u64, Result<(), Error>) {
        let (iova, phys) = (iova.raw(), phys.raw());
        let Some(rest) = len.checked_sub(1) else {
            return (0, Err(Error::Empty));
        };
        if !prot.intersects(Prot::READ | Prot::WRITE) {
            return (0, Err(Error::Prot));
        }
        if (iova | phys | len) & (PAGE_SIZE - 1) != 0 {
            return (0, Err(Error::Misaligned));
        }
        // Sums cannot wrap once their terms are known to be below 2^57.
        let last = iova.wrapping_add(rest);
        if (iova | rest | last) & self.beyond_iova != 0 {
            return (0, Err(Error::InputRange));
        }
        if (phys | phys.wrapping_add(rest)) & self.beyond_phys != 0 {
            return (0, Err(Error::OutputRange));
        }
        let first = F::leaf(prot) | phys;
        // Within one page table, and less than all of it: 4 KiB pages. When the table is there, and
        // it mostly is, there is nothing more to it.
        if (iova ^ last) | len < Level::PD.size() {
            let entry = self.linked_entry(iova);
            if entry & F::LINKED != 0 {
                let table = self.table(entry);
                if len == PAGE_SIZE {
                    return self.map_page(table.entry(Level::PT.index(iova)), first);
                }
                return self.map_pages(table, iova, first, len);
            }
        }
        let level = self.leaf_level(iova | phys, len);
        if len == level.size() {
            return self.map_one(iova, first, level, context, gather);
        }
        self.map_runs(iova, first, len, context, gather)
    }

    /// Maps one page, with the tables it needs.
    #[inline(never)]
    fn map_one(
        &self,
        iova: u64,
        first: u64,
        level: Level,
        context: M::Context,
        gather: &mut impl Gather<M>,
    ) -> (u64, Result<(), Error>) {
        let table = match self.table_at(iova, level, context) {
            Ok(table) => table,
            Err(error) => return (0, Err(error)),
        };
        let slot = table.entry(level.index(iova));
        if !self.put(slot, first | size_bit(level), level, gather) {
            return (0, Err(Error::Exists));
        }
        self.memory.publish(slice::from_ref(slot));
        (level.size(), Ok(()))
    }

    #[inline(always)]
    fn map_page(&self, slot: &AtomicU64, leaf: u64) -> (u64, Result<(), Error>) {
        if slot.load(Ordering::Relaxed) != 0 {
            return (0, Err(Error::Exists));
        }
        slot.store(leaf, Ordering::Relaxed);
        self.memory.publish(slice::from_ref(slot));
        (PAGE_SIZE, Ok(()))
    }

    /// Maps 4 KiB pages, as far as they lie in `table`. `first` is the first one's leaf.
    #[inline(never)]
    fn map_pages(
        &self,
        table: &Table,
        iova: u64,
        first: u64,
        len: u64,
    ) -> (u64, Result<(), Error>) {
        let run = table.run(Level::PT.index(iova), Level::PT.count(len));
        self.finish(run, fill(run, first), Level::PT)
    }

    /// Publishes what was written of `run`, and puts it into bytes.
    #[inline(always)]
    fn finish(&self, run: &[AtomicU64], filled: usize, level: Level) -> (u64, Result<(), Error>) {
        if filled == run.len() {
            self.memory.publish(run);
            return (level.bytes(filled), Ok(()));
        }
        self.memory.publish(run.get(..filled).unwrap_or_default());
        (level.bytes(filled), Err(Error::Exists))
    }

    /// Maps run after run of pages of equal size in one table.
    #[inline(never)]
    fn map_runs(
        &self,
        iova: u64,
        first: u64,
        len: u64,
        context: M::Context,
        gather: &mut impl Gather<M>,
    ) -> (u64, Result<(), Error>) {
        let mut done = 0u64;
        while done < len {
            // All of these stay within the ranges that were checked.
            let at = iova.wrapping_add(done);
            let leaf = first.wrapping_add(done);
            let left = len.wrapping_sub(done);
            let level = self.leaf_level(at | leaf & ADDRESS, left);
            let (bytes, result) = if level == Level::PT {
                self.map_small(at, leaf, left, context)
            } else {
                self.map_large(at, leaf | PAGE_SIZE_BIT, left, level, context, gather)
            };
            done = done.wrapping_add(bytes);
            if result.is_err() {
                return (done, result);
            }
        }
        (done, Ok(()))
    }

    /// Maps 4 KiB pages, as far as they lie in one page table.
    fn map_small(
        &self,
        iova: u64,
        first: u64,
        len: u64,
        context: M::Context,
    ) -> (u64, Result<(), Error>) {
        if Level::PD.covered(iova, len) {
            match self.map_whole_table(iova, first, context) {
                Ok(false) => {}
                Ok(true) => return (Level::PD.size(), Ok(())),
                Err(error) => return (0, Err(error)),
            }
        }
        match self.table_at(iova, Level::PT, context) {
            Ok(table) => self.map_pages(table, iova, first, len),
            Err(error) => (0, Err(error)),
        }
    }

    /// Maps pages of the size that entries of `level` have, as far as they lie in one table.
    #[inline]
    fn map_large(
        &self,
        iova: u64,
        first: u64,
        len: u64,
        level: Level,
        context: M::Context,
        gather: &mut impl Gather<M>,
    ) -> (u64, Result<(), Error>) {
        let table = match self.table_at(iova, level, context) {
            Ok(table) => table,
            Err(error) => return (0, Err(error)),
        };
        let run = table.run(level.index(iova), level.count(len));
        let mut leaf = first;
        let mut filled = 0usize;
        for slot in run {
            if !self.put(slot, leaf, level, gather) {
                break;
            }
            leaf = leaf.wrapping_add(level.size());
            filled = filled.wrapping_add(1);
        }
        self.finish(run, filled, level)
    }

    /// The level of the largest page that can start at addresses whose union is `both`.
    #[inline]
    fn leaf_level(&self, both: u64, len: u64) -> Level {
        let max = self.config().max_leaf.level();
        if max >= Level::PDPT && Level::PDPT.covered(both, len) {
            Level::PDPT
        } else if max >= Level::PD && Level::PD.covered(both, len) {
            Level::PD
        } else {
            Level::PT
        }
    }

    /// Maps 2 MiB as 4 KiB pages by a table that is filled before it is linked: nobody else sees
    /// it, so there is nothing to check. `false` when there is something already.
    #[inline(never)]
    fn map_whole_table(&self, iova: u64, first: u64, context: M::Context) -> Result<bool, Error> {
        let directory = self.table_at(iova, Level::PD, context)?;
        let slot = directory.entry(Level::PD.index(iova));
        if slot.load(Ordering::Relaxed) != 0 {
            return Ok(false);
        }
        let addr = self.alloc(context)?;
        let mut leaf = first;
        let mut left: &[AtomicU64] = self.memory.table(&addr).entries();
        while let Some((chunk, rest)) = left.split_first_chunk::<WHOLE_CHUNK>() {
            for slot in chunk {
                slot.store(leaf, Ordering::Relaxed);
                leaf = leaf.wrapping_add(PAGE_SIZE);
            }
            left = rest;
        }
        match self.link(slot, 0, &addr) {
            Ok(_) => Ok(true),
            Err(_) => {
                self.memory.free(addr);
                Ok(false)
            }
        }
    }

    /// Writes `leaf` to `slot`, unless something is mapped there.
    #[inline(always)]
    fn put(&self, slot: &AtomicU64, leaf: u64, level: Level, gather: &mut impl Gather<M>) -> bool {
        let old = slot.load(Ordering::Acquire);
        if old == 0 {
            slot.store(leaf, Ordering::Relaxed);
            return true;
        }
        self.replace_table(slot, old, leaf, level, gather)
    }

    /// Replaces `old` in `slot` by a large leaf, if `old` points to a table that maps nothing.
    #[cold]
    fn replace_table(
        &self,
        slot: &AtomicU64,
        old: u64,
        leaf: u64,
        level: Level,
        gather: &mut impl Gather<M>,
    ) -> bool {
        if is_leaf(level, old) || !self.is_empty(self.table(old), level.below()) {
            return false;
        }
        // All that the table could map is the range of this call: nobody is about to use it.
        slot.store(leaf, Ordering::Relaxed);
        self.detach(TableAddr::from_entry(old), level.below(), gather);
        true
    }

    /// Whether neither `table` nor the tables below it hold a leaf.
    fn is_empty(&self, table: &Table, level: Level) -> bool {
        table.entries().iter().all(|slot| {
            let entry = slot.load(Ordering::Acquire);
            entry == 0 || !is_leaf(level, entry) && self.is_empty(self.table(entry), level.below())
        })
    }

    /// Gathers a table without leaves and the tables below it.
    fn detach(&self, addr: TableAddr<M>, level: Level, gather: &mut impl Gather<M>) {
        if level > Level::PT {
            for slot in self.memory.table(&addr).entries() {
                let entry = slot.load(Ordering::Acquire);
                if entry != 0 {
                    self.detach(TableAddr::from_entry(entry), level.below(), gather);
                }
            }
        }
        gather.table(addr);
    }
}

/// Writes leaves for consecutive 4 KiB pages, the first of them `first`, to a run of empty entries.
/// Returns how many were written: less than the run where one was not empty.
///
/// Load and store need not be one operation, since nobody else writes to entries of this range.
#[inline]
fn fill(run: &[AtomicU64], first: u64) -> usize {
    let mut entry = first;
    let mut left = run;
    while let Some((chunk, rest)) = left.split_first_chunk::<CHUNK>() {
        let used = chunk
            .iter()
            .fold(0, |used, slot| used | slot.load(Ordering::Relaxed));
        if used != 0 {
            break;
        }
        for slot in chunk {
            slot.store(entry, Ordering::Relaxed);
            entry = entry.wrapping_add(PAGE_SIZE);
        }
        left = rest;
    }
    while let Some((slot, rest)) = left.split_first() {
        if slot.load(Ordering::Relaxed) != 0 {
            break;
        }
        slot.store(entry, Ordering::Relaxed);
        entry = entry.wrapping_add(PAGE_SIZE);
        left = rest;
    }
    run.len().wrapping_sub(left.len())
}

// SPDX-License-Identifier: GPL-2.0

//! Entering translations.

use crate::error::Error;
use crate::format::{is_leaf, size_bit, Format, Prot};
use crate::level::Level;
use crate::memory::{Gather, PageMemory, Table, TableAddr};
use crate::page_table::PageTable;
use core::sync::atomic::{AtomicU64, Ordering};
use siov_types::{Iova, PhysAddr, PAGE_SIZE};

/// Entries that are looked at or written at once in a run.
const CHUNK: usize = 8;

/// What is left of a call of `map`.
#[derive(Clone, Copy)]
struct Span {
    iova: u64,
    phys: u64,
    left: u64,
}

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
        gather: &mut impl Gather,
    ) -> (u64, Result<(), Error>) {
        let span = Span {
            iova: iova.raw(),
            phys: phys.raw(),
            left: len,
        };
        if let Err(error) = self.check(span, prot) {
            return (0, Err(error));
        }
        let bits = F::leaf(prot);
        let last = span.iova.wrapping_add(len.wrapping_sub(1));
        if (span.iova ^ last) < Level::PD.size() && len < Level::PD.size() {
            // Within one page table, and hence of 4 KiB pages. When the table is there, and it
            // mostly is, this is all.
            if let Some(table) = self.linked_table(span.iova, Level::PT) {
                let run = table.run(Level::PT.index(span.iova), len.wrapping_shr(12));
                let filled = fill(run, bits | span.phys);
                self.memory.publish(run.get(..filled).unwrap_or_default());
                if filled == run.len() {
                    return (len, Ok(()));
                }
                return ((filled as u64).wrapping_shl(12), Err(Error::Exists));
            }
        }
        self.map_runs(span, bits, context, gather)
    }

    #[inline(always)]
    fn check(&self, span: Span, prot: Prot) -> Result<(), Error> {
        let Some(rest) = span.left.checked_sub(1) else {
            return Err(Error::Empty);
        };
        if !prot.intersects(Prot::READ | Prot::WRITE) {
            return Err(Error::Prot);
        }
        if (span.iova | span.phys | span.left) & (PAGE_SIZE - 1) != 0 {
            return Err(Error::Misaligned);
        }
        if !within(span.iova, rest, self.last_iova) {
            return Err(Error::InputRange);
        }
        if !within(span.phys, rest, self.last_phys) {
            return Err(Error::OutputRange);
        }
        Ok(())
    }

    #[inline(never)]
    fn map_runs(
        &self,
        mut span: Span,
        bits: u64,
        context: M::Context,
        gather: &mut impl Gather,
    ) -> (u64, Result<(), Error>) {
        let len = span.left;
        while span.left != 0 {
            let (bytes, result) = self.map_run(span, bits, context, gather);
            // None of these leaves the ranges that were checked.
            span.iova = span.iova.wrapping_add(bytes);
            span.phys = span.phys.wrapping_add(bytes);
            span.left = span.left.wrapping_sub(bytes);
            if result.is_err() {
                return (len.wrapping_sub(span.left), result);
            }
        }
        (len, Ok(()))
    }

    /// Maps a run of pages of equal size, as far as they lie in one table.
    fn map_run(
        &self,
        span: Span,
        bits: u64,
        context: M::Context,
        gather: &mut impl Gather,
    ) -> (u64, Result<(), Error>) {
        let level = self.leaf_level(span);
        if level == Level::PT && Level::PD.covered(span.iova, span.left) {
            match self.map_whole_table(span, bits, context) {
                Ok(false) => {}
                Ok(true) => return (Level::PD.size(), Ok(())),
                Err(error) => return (0, Err(error)),
            }
        }
        let table = match self.table_at(span.iova, level, context) {
            Ok(table) => table,
            Err(error) => return (0, Err(error)),
        };
        let run = table.run(
            level.index(span.iova),
            span.left.wrapping_shr(level.shift()),
        );
        let first = bits | size_bit(level) | span.phys;
        let filled = if level == Level::PT {
            fill(run, first)
        } else {
            self.fill_large(run, first, level, gather)
        };
        self.memory.publish(run.get(..filled).unwrap_or_default());
        let result = if filled == run.len() {
            Ok(())
        } else {
            Err(Error::Exists)
        };
        ((filled as u64).wrapping_shl(level.shift()), result)
    }

    /// The level of the largest page that can start here.
    #[inline]
    fn leaf_level(&self, span: Span) -> Level {
        let max = self.config().max_leaf.level();
        let both = span.iova | span.phys;
        if max >= Level::PDPT && Level::PDPT.covered(both, span.left) {
            Level::PDPT
        } else if max >= Level::PD && Level::PD.covered(both, span.left) {
            Level::PD
        } else {
            Level::PT
        }
    }

    /// Maps 2 MiB as 4 KiB pages by a table that is filled before it is linked: nobody else sees
    /// it, so there is nothing to check. `false` when there is something already.
    fn map_whole_table(&self, span: Span, bits: u64, context: M::Context) -> Result<bool, Error> {
        let directory = self.table_at(span.iova, Level::PD, context)?;
        let slot = directory.entry(Level::PD.index(span.iova));
        if slot.load(Ordering::Relaxed) != 0 {
            return Ok(false);
        }
        let addr = self.alloc(context)?;
        let mut entry = bits | span.phys;
        for slot in self.memory.table(&addr).entries() {
            slot.store(entry, Ordering::Relaxed);
            entry = entry.wrapping_add(PAGE_SIZE);
        }
        match self.link(slot, 0, &addr) {
            Ok(_) => Ok(true),
            Err(_) => {
                self.memory.free(addr);
                Ok(false)
            }
        }
    }

    /// [`fill`] for 2 MiB and 1 GiB pages: replaces empty tables that are in the way.
    fn fill_large(
        &self,
        run: &[AtomicU64],
        first: u64,
        level: Level,
        gather: &mut impl Gather,
    ) -> usize {
        let mut entry = first;
        let mut filled = 0usize;
        for slot in run {
            let old = slot.load(Ordering::Acquire);
            if old == 0 {
                slot.store(entry, Ordering::Relaxed);
            } else if is_leaf(level, old) {
                break;
            } else {
                let addr = TableAddr::from_entry(old);
                if !self.is_empty(self.memory.table(&addr), level.below()) {
                    break;
                }
                // The table covers nothing but this call's range, so nobody is about to use it.
                slot.store(entry, Ordering::Relaxed);
                self.detach(addr, level.below(), gather);
            }
            entry = entry.wrapping_add(level.size());
            filled = filled.wrapping_add(1);
        }
        filled
    }

    /// Whether neither `table` nor the tables below it hold a leaf.
    fn is_empty(&self, table: &Table, level: Level) -> bool {
        table.entries().iter().all(|slot| {
            let entry = slot.load(Ordering::Acquire);
            entry == 0
                || !is_leaf(level, entry)
                    && self.is_empty(
                        self.memory.table(&TableAddr::from_entry(entry)),
                        level.below(),
                    )
        })
    }

    /// Gathers a table without leaves and the tables below it.
    fn detach(&self, addr: TableAddr, level: Level, gather: &mut impl Gather) {
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

/// Whether the `rest` bytes after the first at `start` end at or below `last`.
#[inline(always)]
pub(crate) fn within(start: u64, rest: u64, last: u64) -> bool {
    match last.checked_sub(start) {
        Some(room) => rest <= room,
        None => false,
    }
}

/// Writes leaves for consecutive 4 KiB pages, the first of them `first`, to a run of empty entries.
/// Returns how many were written: less than the run where one was not empty.
///
/// Load and store need not be one operation, since nobody else writes to entries of this range.
#[inline]
fn fill(run: &[AtomicU64], first: u64) -> usize {
    let mut entry = first;
    let mut filled = 0usize;
    for chunk in run.chunks_exact(CHUNK) {
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
        filled = filled.wrapping_add(CHUNK);
    }
    for slot in run.get(filled..).unwrap_or_default() {
        if slot.load(Ordering::Relaxed) != 0 {
            break;
        }
        slot.store(entry, Ordering::Relaxed);
        entry = entry.wrapping_add(PAGE_SIZE);
        filled = filled.wrapping_add(1);
    }
    filled
}

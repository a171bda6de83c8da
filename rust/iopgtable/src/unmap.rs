// SPDX-License-Identifier: GPL-2.0

//! Removing translations.

use crate::error::Error;
use crate::format::{is_leaf, leaf_address, size_bit, Format, ADDRESS, PAGE_SIZE_BIT};
use crate::level::Level;
use crate::map::within;
use crate::memory::{Gather, PageMemory, Table, TableAddr};
use crate::page_table::PageTable;
use core::sync::atomic::{AtomicU64, Ordering};
use siov_types::{Iova, IovaRange, PAGE_SIZE};

/// Entries that are looked at or written at once in a run.
const CHUNK: usize = 8;

/// What [`PageTable::unmap`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "what was unmapped stays reachable until it is invalidated"]
pub struct Unmapped {
    /// Number of bytes from the start of the range on that are not mapped any more.
    pub bytes: u64,
    /// What has to be invalidated: the unmapped bytes, and all of a large page that was split. Can
    /// be set when `bytes` is 0: a page was split, and there was no memory to split it further.
    pub touched: Option<IovaRange>,
}

impl Unmapped {
    const NOTHING: Self = Self {
        bytes: 0,
        touched: None,
    };
}

impl<F: Format, M: PageMemory> PageTable<F, M> {
    /// Unmaps `len` bytes from `iova` on.
    ///
    /// Stops at the first page that is not mapped, as the kernel's generic page tables do. A range
    /// that is empty, misaligned or beyond the input width unmaps nothing. Where the range covers a
    /// part of a large page, the page is split and the rest of it stays mapped, accessed and dirty
    /// bits included; without memory for that, unmapping stops there.
    ///
    /// Tables whose whole range is covered go to `gather` and are not reachable by new walks when
    /// this returns. The caller invalidates [`Unmapped::touched`] before it gives the IOVA or the
    /// physical memory to anyone else, and before it frees gathered tables.
    #[inline]
    pub fn unmap(
        &self,
        iova: Iova,
        len: u64,
        context: M::Context,
        gather: &mut impl Gather,
    ) -> Unmapped {
        let start = iova.raw();
        let Some(rest) = len.checked_sub(1) else {
            return Unmapped::NOTHING;
        };
        if (start | len) & (PAGE_SIZE - 1) != 0 || !within(start, rest, self.last_iova) {
            return Unmapped::NOTHING;
        }
        if (start ^ start.wrapping_add(rest)) < Level::PD.size() && len < Level::PD.size() {
            // Within one page table that stays. When there is one, this is all.
            if let Some(table) = self.linked_table(start, Level::PT) {
                let run = table.run(Level::PT.index(start), len.wrapping_shr(12));
                let bytes = (self.clear(run) as u64).wrapping_shl(12);
                return Unmapped {
                    bytes,
                    touched: IovaRange::from_len(iova, bytes),
                };
            }
        }
        self.unmap_runs(iova, len, context, gather)
    }

    #[inline(never)]
    fn unmap_runs(
        &self,
        iova: Iova,
        len: u64,
        context: M::Context,
        gather: &mut impl Gather,
    ) -> Unmapped {
        let mut split = None;
        let mut bytes = 0u64;
        while bytes < len {
            // Stays within the range that was checked.
            let next = iova.raw().wrapping_add(bytes);
            let left = len.wrapping_sub(bytes);
            let (more, complete) = self.unmap_run(next, left, context, gather, &mut split);
            bytes = bytes.wrapping_add(more);
            if !complete {
                break;
            }
        }
        Unmapped {
            bytes,
            touched: hull(IovaRange::from_len(iova, bytes), split),
        }
    }

    /// Unmaps as far as one table goes, at the highest level whose entries the range covers.
    /// Returns the number of bytes, and whether the run had no hole.
    fn unmap_run(
        &self,
        iova: u64,
        left: u64,
        context: M::Context,
        gather: &mut impl Gather,
        split: &mut Option<IovaRange>,
    ) -> (u64, bool) {
        let mut table = self.root_table();
        let mut level = self.top;
        while !level.covered(iova, left) {
            let slot = table.entry(level.index(iova));
            let mut entry = slot.load(Ordering::Acquire);
            if entry != 0 && is_leaf(level, entry) {
                let page =
                    IovaRange::from_len(Iova::new(iova).align_down(level.size()), level.size());
                match self.split(slot, entry, level, context) {
                    Ok(now) => entry = now,
                    Err(_) => return (0, false),
                }
                *split = hull(*split, page);
            }
            if entry == 0 {
                return (0, false);
            }
            table = self.follow(slot, entry);
            level = level.below();
        }
        let run = table.run(level.index(iova), left.wrapping_shr(level.shift()));
        let bytes = self.clear_covered(run, level, gather);
        let all = (run.len() as u64).wrapping_shl(level.shift());
        (bytes, bytes == all)
    }

    /// Clears entries of a table of `level` until one is not present or has a hole below it.
    /// Returns the number of bytes they mapped.
    fn clear_covered(&self, run: &[AtomicU64], level: Level, gather: &mut impl Gather) -> u64 {
        if level == Level::PT {
            return (self.clear(run) as u64).wrapping_shl(level.shift());
        }
        let mut bytes = 0u64;
        let mut cleared = 0usize;
        for slot in run {
            let entry = slot.load(Ordering::Acquire);
            if entry == 0 {
                break;
            }
            if !is_leaf(level, entry) {
                let addr = TableAddr::from_entry(entry);
                let below = self.clear_table(self.memory.table(&addr), level.below(), gather);
                if below != level.size() {
                    bytes = bytes.wrapping_add(below);
                    break;
                }
                gather.table(addr);
            }
            slot.store(0, Ordering::Relaxed);
            cleared = cleared.wrapping_add(1);
            bytes = bytes.wrapping_add(level.size());
        }
        self.memory.publish(run.get(..cleared).unwrap_or_default());
        bytes
    }

    /// Clears `table`, of `level`, up to the first hole. Returns the number of bytes it mapped; the
    /// caller unlinks it when these are all.
    fn clear_table(&self, table: &Table, level: Level, gather: &mut impl Gather) -> u64 {
        if level == Level::PT && all_present::<F>(table) {
            // Unlinking it takes all its pages away at once.
            return Level::PD.size();
        }
        self.clear_covered(table.entries(), level, gather)
    }

    /// Clears leaves of a page table until one is not present. Returns how many.
    ///
    /// A plain store is enough: nobody but the hardware writes to entries of this range, and what
    /// it writes are accessed and dirty bits, by an atomic operation on an entry that it found
    /// present (VT-d spec, 3.6.2 and 3.7.2). Where that comes first the bits are lost with the entry, where
    /// it comes second the operation fails and the walk starts over.
    #[inline]
    fn clear(&self, run: &[AtomicU64]) -> usize {
        let mut cleared = 0usize;
        for chunk in run.chunks_exact(CHUNK) {
            let common = chunk.iter().fold(F::PRESENT, |common, slot| {
                common & slot.load(Ordering::Relaxed)
            });
            if common == 0 {
                break;
            }
            for slot in chunk {
                slot.store(0, Ordering::Relaxed);
            }
            cleared = cleared.wrapping_add(CHUNK);
        }
        for slot in run.get(cleared..).unwrap_or_default() {
            if slot.load(Ordering::Relaxed) == 0 {
                break;
            }
            slot.store(0, Ordering::Relaxed);
            cleared = cleared.wrapping_add(1);
        }
        self.memory.publish(run.get(..cleared).unwrap_or_default());
        cleared
    }

    /// Replaces a leaf of `level` by a table of leaves of the level below that map the same.
    /// Returns the entry that is there then.
    fn split(
        &self,
        slot: &AtomicU64,
        leaf: u64,
        level: Level,
        context: M::Context,
    ) -> Result<u64, Error> {
        let addr = self.alloc(context)?;
        let below = level.below();
        let mut old = leaf;
        loop {
            let mut entry =
                old & !(ADDRESS | PAGE_SIZE_BIT) | leaf_address(level, old) | size_bit(below);
            for slot in self.memory.table(&addr).entries() {
                slot.store(entry, Ordering::Relaxed);
                entry = entry.wrapping_add(below.size());
            }
            match self.link(slot, old, &addr) {
                Ok(entry) => return Ok(entry),
                // Hardware set accessed or dirty meanwhile: these bits are to be kept.
                Err(now) if now != 0 && is_leaf(level, now) => old = now,
                Err(now) => {
                    // The user of another part of this page has split it.
                    self.memory.free(addr);
                    return Ok(now);
                }
            }
        }
    }
}

/// Whether no entry of a page table is empty.
#[inline]
fn all_present<F: Format>(table: &Table) -> bool {
    table.entries().chunks_exact(CHUNK).all(|chunk| {
        let common = chunk.iter().fold(F::PRESENT, |common, slot| {
            common & slot.load(Ordering::Relaxed)
        });
        common != 0
    })
}

/// The smallest range that holds both.
fn hull(a: Option<IovaRange>, b: Option<IovaRange>) -> Option<IovaRange> {
    match (a, b) {
        (Some(a), Some(b)) => IovaRange::new(a.first().min(b.first()), a.last().max(b.last())),
        (one, None) => one,
        (None, other) => other,
    }
}

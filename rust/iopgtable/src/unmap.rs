// SPDX-License-Identifier: GPL-2.0

//! Removing translations.

use crate::atomic::{AtomicU64, Ordering};
use crate::error::Error;
use crate::format::{is_leaf, leaf_address, size_bit, Format, ADDRESS, PAGE_SIZE_BIT};
use crate::level::Level;
use crate::memory::{Gather, PageMemory, Table, TableAddr, CHUNK, WHOLE_CHUNK};
use crate::page_table::{load, PageTable};
use core::slice;
use siov_types::{Iova, IovaRange, PAGE_SIZE};

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
        gather: &mut impl Gather<M>,
    ) -> Unmapped {
        let start = iova.raw();
        let Some(rest) = len.checked_sub(1) else {
            return Unmapped::NOTHING;
        };
        if (start | len) & (PAGE_SIZE - 1) != 0 {
            return Unmapped::NOTHING;
        }
        // The sum cannot wrap once its terms are known to be below 2^57.
        let last = start.wrapping_add(rest);
        if (start | rest | last) & self.beyond_iova != 0 {
            return Unmapped::NOTHING;
        }
        // Within one page table, which stays. When there is one, there is nothing more to it.
        if (start ^ last) | len < Level::PD.size() {
            let entry = self.linked_entry(start);
            if entry & F::LINKED != 0 {
                let table = self.table(entry);
                let index = Level::PT.index(start);
                let bytes = if len == PAGE_SIZE {
                    self.clear_page(table.entry(index))
                } else {
                    self.clear_pages(table.run(index, Level::PT.count(len)))
                };
                return Unmapped {
                    bytes,
                    touched: IovaRange::from_len(iova, bytes),
                };
            }
        }
        self.unmap_large(iova, len, context, gather)
    }

    /// Unmaps one large page, or else whatever there is.
    #[inline(never)]
    fn unmap_large(
        &self,
        iova: Iova,
        len: u64,
        context: M::Context,
        gather: &mut impl Gather<M>,
    ) -> Unmapped {
        for level in [Level::PD, Level::PDPT] {
            if len == level.size() && iova.is_aligned(len) && self.clear_large(iova.raw(), level) {
                return Unmapped {
                    bytes: len,
                    touched: IovaRange::from_len(iova, len),
                };
            }
        }
        self.unmap_runs(iova, len, context, gather)
    }

    /// Clears the leaf of `level` at `iova`, if there is one.
    #[inline(always)]
    fn clear_large(&self, iova: u64, level: Level) -> bool {
        let mut table = self.root_table();
        let mut at = self.top;
        while at > level {
            let entry = load(table, at, iova);
            if entry & F::LINKED == 0 {
                return false;
            }
            table = self.table(entry);
            at = at.below();
        }
        let slot = table.entry(level.index(iova));
        if slot.load(Ordering::Relaxed) & PAGE_SIZE_BIT == 0 {
            return false;
        }
        slot.store(0, Ordering::Relaxed);
        self.memory.publish(slice::from_ref(slot));
        true
    }

    #[inline(never)]
    fn unmap_runs(
        &self,
        iova: Iova,
        len: u64,
        context: M::Context,
        gather: &mut impl Gather<M>,
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
        let unmapped = IovaRange::from_len(iova, bytes);
        Unmapped {
            bytes,
            touched: match split {
                None => unmapped,
                split => hull(unmapped, split),
            },
        }
    }

    /// Unmaps as far as one table goes, at the highest level whose entries the range covers.
    /// Returns the number of bytes, and whether the run had no hole.
    #[inline]
    fn unmap_run(
        &self,
        iova: u64,
        left: u64,
        context: M::Context,
        gather: &mut impl Gather<M>,
        split: &mut Option<IovaRange>,
    ) -> (u64, bool) {
        let mut table = self.root_table();
        let mut level = self.top;
        while !level.covered(iova, left) {
            let slot = table.entry(level.index(iova));
            let mut entry = slot.load(Ordering::Acquire);
            if entry & F::LINKED == 0 {
                entry = self.partly(slot, entry, iova, level, context, split);
                if entry == 0 {
                    return (0, false);
                }
            }
            table = self.table(entry);
            level = level.below();
        }
        let run = table.run(level.index(iova), level.count(left));
        let bytes = self.clear_covered(run, level, gather);
        (bytes, bytes == level.bytes(run.len()))
    }

    /// Makes `entry`, of which only a part is to be unmapped, point to a table: splits a large
    /// page. Returns the new entry, or 0 when nothing is mapped, or no memory to split with.
    #[cold]
    fn partly(
        &self,
        slot: &AtomicU64,
        entry: u64,
        iova: u64,
        level: Level,
        context: M::Context,
        split: &mut Option<IovaRange>,
    ) -> u64 {
        let mut now = entry;
        if entry != 0 && is_leaf(level, entry) {
            match self.split(slot, entry, level, context) {
                Ok(table) => now = table,
                Err(_) => return 0,
            }
            let start = Iova::new(iova).align_down(level.size());
            *split = hull(*split, IovaRange::from_len(start, level.size()));
        }
        if now != 0 && now & F::LINKED == 0 {
            // Whoever split it may not have published the entry yet. The walker has to get to what
            // is about to be cleared, or it would go on to use the large page.
            self.memory.publish(slice::from_ref(slot));
        }
        now
    }

    /// Clears entries of a table of `level` until one is not present or has a hole below it.
    /// Returns the number of bytes they mapped.
    fn clear_covered(&self, run: &[AtomicU64], level: Level, gather: &mut impl Gather<M>) -> u64 {
        if level == Level::PT {
            return self.clear_pages(run);
        }
        let mut partly = 0u64;
        let mut left = run;
        while let Some((slot, rest)) = left.split_first() {
            let entry = slot.load(Ordering::Acquire);
            if entry == 0 {
                break;
            }
            if is_leaf(level, entry) {
                slot.store(0, Ordering::Relaxed);
            } else {
                let addr = TableAddr::from_entry(entry);
                let bytes = self.clear_table(self.memory.table(&addr), level.below(), gather);
                if bytes != level.size() {
                    partly = bytes;
                    break;
                }
                slot.store(0, Ordering::Relaxed);
                gather.table(addr);
            }
            left = rest;
        }
        let cleared = run.len().wrapping_sub(left.len());
        self.memory.publish(run.get(..cleared).unwrap_or_default());
        level.bytes(cleared).wrapping_add(partly)
    }

    /// Clears `table`, of `level`, up to the first hole. Returns the number of bytes it mapped; the
    /// caller unlinks it when these are all.
    fn clear_table(&self, table: &Table, level: Level, gather: &mut impl Gather<M>) -> u64 {
        if level == Level::PT && is_full::<F>(table) {
            // Unlinking it takes all its pages away at once.
            return Level::PD.size();
        }
        self.clear_covered(table.entries(), level, gather)
    }

    /// Clears one leaf of a page table. Returns the number of bytes it mapped.
    ///
    /// A plain store is enough: nobody but the hardware writes to entries of this range, and what
    /// it writes are accessed and dirty bits, by an atomic operation on an entry that it found
    /// present (VT-d spec, 3.6.2 and 3.7.2). Where that comes first the bits are lost with the
    /// entry, where it comes second the operation fails and the walk starts over.
    #[inline(always)]
    fn clear_page(&self, slot: &AtomicU64) -> u64 {
        if slot.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        slot.store(0, Ordering::Relaxed);
        self.memory.publish(slice::from_ref(slot));
        PAGE_SIZE
    }

    /// Clears leaves of a page table until one is not present. Returns the number of bytes they
    /// mapped.
    #[inline(never)]
    fn clear_pages(&self, run: &[AtomicU64]) -> u64 {
        let mut left = run;
        while let Some((chunk, rest)) = left.split_first_chunk::<CHUNK>() {
            if !all_present::<F>(chunk) {
                break;
            }
            for slot in chunk {
                slot.store(0, Ordering::Relaxed);
            }
            left = rest;
        }
        while let Some((slot, rest)) = left.split_first() {
            if slot.load(Ordering::Relaxed) == 0 {
                break;
            }
            slot.store(0, Ordering::Relaxed);
            left = rest;
        }
        let cleared = run.len().wrapping_sub(left.len());
        self.memory.publish(run.get(..cleared).unwrap_or_default());
        Level::PT.bytes(cleared)
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

/// Whether all of these entries of a page table are leaves.
#[inline(always)]
fn all_present<F: Format>(slots: &[AtomicU64]) -> bool {
    let common = slots.iter().fold(F::PRESENT, |common, slot| {
        common & slot.load(Ordering::Relaxed)
    });
    common != 0
}

/// Whether a page table has a leaf in each entry.
#[inline]
fn is_full<F: Format>(table: &Table) -> bool {
    let mut left: &[AtomicU64] = table.entries();
    while let Some((chunk, rest)) = left.split_first_chunk::<WHOLE_CHUNK>() {
        if !all_present::<F>(chunk) {
            return false;
        }
        left = rest;
    }
    true
}

/// The smallest range that holds both.
fn hull(a: Option<IovaRange>, b: Option<IovaRange>) -> Option<IovaRange> {
    match (a, b) {
        (Some(a), Some(b)) => IovaRange::new(a.first().min(b.first()), a.last().max(b.last())),
        (one, None) => one,
        (None, other) => other,
    }
}

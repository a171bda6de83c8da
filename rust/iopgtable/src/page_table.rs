// SPDX-License-Identifier: GPL-2.0

//! The page table: its making, its end, and the way from the root to a table.

use crate::config::Config;
use crate::error::Error;
use crate::format::{is_leaf, Format};
use crate::level::Level;
use crate::memory::{PageMemory, Table, TableAddr};
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};
use siov_types::{PhysAddr, PAGE_SHIFT};

/// A page table of format `F` in memory `M`. See the crate's documentation for who may call what at
/// the same time.
pub struct PageTable<F: Format, M: PageMemory> {
    pub(crate) memory: M,
    root: TableAddr,
    config: Config,
    /// Level of the root.
    pub(crate) top: Level,
    /// Highest IOVA: `input_bits` ones.
    pub(crate) last_iova: u64,
    /// Highest physical address: `output_bits` ones.
    pub(crate) last_phys: u64,
    format: PhantomData<F>,
}

impl<F: Format, M: PageMemory> PageTable<F, M> {
    /// An empty page table.
    ///
    /// # Errors
    ///
    /// [`Error::Levels`] and [`Error::Width`] for a `config` that the format does not have,
    /// [`Error::NoMemory`] and [`Error::TableAddress`] from the allocation of the root.
    pub fn new(memory: M, config: Config, context: M::Context) -> Result<Self, Error> {
        let input_bits = F::input_bits(config.levels).ok_or(Error::Levels)?;
        let last_iova = low_bits(config.input_bits, input_bits)?;
        let last_phys = low_bits(config.output_bits, 52)?;
        let root = alloc(&memory, last_phys, context)?;
        memory.publish(memory.table(&root).entries());
        Ok(Self {
            memory,
            root,
            config,
            top: config.levels.top(),
            last_iova,
            last_phys,
            format: PhantomData,
        })
    }

    /// Physical address of the root table, for the PASID entry (VT-d spec, 9.6: SSPTPTR, FSPTPTR).
    #[inline]
    pub fn root(&self) -> PhysAddr {
        self.root.phys()
    }

    /// The shape it was made with.
    #[inline]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The memory it was made with.
    #[inline]
    pub fn memory(&self) -> &M {
        &self.memory
    }

    #[inline(always)]
    pub(crate) fn root_table(&self) -> &Table {
        self.memory.table(&self.root)
    }

    /// The table of `level` for `iova`, when all tables on the way are there and the walker sees
    /// them. Unrolled, because this is most of what mapping or unmapping one page takes.
    #[inline(always)]
    pub(crate) fn linked_table(&self, iova: u64, level: Level) -> Option<&Table> {
        let mut table = self.root_table();
        if self.top == Level::PML5 {
            table = self.step(table, iova, Level::PML5)?;
        }
        if self.top >= Level::PML4 {
            table = self.step(table, iova, Level::PML4)?;
        }
        if level >= Level::PDPT {
            return Some(table);
        }
        table = self.step(table, iova, Level::PDPT)?;
        if level == Level::PD {
            return Some(table);
        }
        self.step(table, iova, Level::PD)
    }

    #[inline(always)]
    fn step(&self, table: &Table, iova: u64, level: Level) -> Option<&Table> {
        // Acquire: pairs with the release in `link`, so that the table is seen as it was linked.
        let entry = table.entry(level.index(iova)).load(Ordering::Acquire);
        if entry & F::LINKED == 0 {
            return None;
        }
        Some(self.memory.table(&TableAddr::from_entry(entry)))
    }

    /// The table of `level` for `iova`, with tables added where they are missing.
    #[inline]
    pub(crate) fn table_at(
        &self,
        iova: u64,
        level: Level,
        context: M::Context,
    ) -> Result<&Table, Error> {
        match self.linked_table(iova, level) {
            Some(table) => Ok(table),
            None => self.add_tables(iova, level, context),
        }
    }

    #[cold]
    fn add_tables(&self, iova: u64, level: Level, context: M::Context) -> Result<&Table, Error> {
        let mut table = self.root_table();
        let mut at = self.top;
        while at > level {
            let slot = table.entry(at.index(iova));
            let mut entry = slot.load(Ordering::Acquire);
            if entry == 0 {
                let new = self.alloc(context)?;
                entry = match self.link(slot, 0, &new) {
                    Ok(entry) => entry,
                    Err(other) => {
                        // Somebody else needed the same table and was faster.
                        self.memory.free(new);
                        other
                    }
                };
            }
            if is_leaf(at, entry) {
                return Err(Error::Exists);
            }
            table = self.follow(slot, entry);
            at = at.below();
        }
        Ok(table)
    }

    /// The table that `entry`, loaded from `slot`, points to.
    ///
    /// Whoever linked it may not have published the entry yet; then it is published here, because
    /// the walker has to see all that is mapped before the call that mapped it returns.
    #[inline]
    pub(crate) fn follow(&self, slot: &AtomicU64, entry: u64) -> &Table {
        if entry & F::LINKED == 0 {
            self.memory.publish(core::slice::from_ref(slot));
        }
        self.memory.table(&TableAddr::from_entry(entry))
    }

    #[inline]
    pub(crate) fn alloc(&self, context: M::Context) -> Result<TableAddr, Error> {
        alloc(&self.memory, self.last_phys, context)
    }

    /// Replaces `old` in `slot` by a pointer to `table`. Returns the new entry, or the one that is
    /// there instead of `old`.
    pub(crate) fn link(&self, slot: &AtomicU64, old: u64, table: &TableAddr) -> Result<u64, u64> {
        self.memory.publish(self.memory.table(table).entries());
        let coherent = self.memory.coherent();
        let mut entry = F::TABLE | table.phys().raw();
        if coherent {
            entry |= F::LINKED;
        }
        // Release: who follows the entry sees the table's contents. Acquire on failure: the entry
        // found there is about to be followed.
        slot.compare_exchange(old, entry, Ordering::Release, Ordering::Acquire)?;
        if !coherent {
            self.memory.publish(core::slice::from_ref(slot));
            // Release: who sees the bit may rely on the entry having been published.
            slot.fetch_or(F::LINKED, Ordering::Release);
        }
        Ok(entry | F::LINKED)
    }

    /// Frees the tables below `table`.
    fn free_below(&self, table: &Table, level: Level) {
        if level == Level::PT {
            return;
        }
        for slot in table.entries() {
            let entry = slot.load(Ordering::Acquire);
            if entry != 0 && !is_leaf(level, entry) {
                let addr = TableAddr::from_entry(entry);
                self.free_below(self.memory.table(&addr), level.below());
                self.memory.free(addr);
            }
        }
    }
}

/// Frees all tables. By now no PASID entry points to the root any more, and caches are invalidated.
impl<F: Format, M: PageMemory> Drop for PageTable<F, M> {
    fn drop(&mut self) {
        self.free_below(self.root_table(), self.top);
        self.memory
            .free(TableAddr::from_entry(self.root.phys().raw()));
    }
}

fn alloc<M: PageMemory>(
    memory: &M,
    last_phys: u64,
    context: M::Context,
) -> Result<TableAddr, Error> {
    let phys = memory.alloc(context).ok_or(Error::NoMemory)?;
    TableAddr::new(phys, last_phys).map_err(|unusable| {
        memory.free(unusable);
        Error::TableAddress
    })
}

/// `bits` ones, for a number of bits between a page and `max`.
fn low_bits(bits: u8, max: u8) -> Result<u64, Error> {
    if u32::from(bits) < PAGE_SHIFT || bits > max {
        return Err(Error::Width);
    }
    Ok(1u64.wrapping_shl(u32::from(bits)).wrapping_sub(1))
}

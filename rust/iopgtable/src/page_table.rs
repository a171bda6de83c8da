// SPDX-License-Identifier: GPL-2.0

//! The page table: its making, its end, and the way from the root to a table.

use crate::atomic::{AtomicU64, Ordering};
use crate::config::Config;
use crate::error::Error;
use crate::format::{is_leaf, Format};
use crate::level::Level;
use crate::memory::{PageMemory, Table, TableAddr};
use core::marker::PhantomData;
use siov_types::{PhysAddr, PAGE_SHIFT};

/// A page table of format `F` in memory `M`. See the crate's documentation for who may call what at
/// the same time.
pub struct PageTable<F: Format, M: PageMemory> {
    pub(crate) memory: M,
    root: TableAddr<M>,
    config: Config,
    /// Level of the root.
    pub(crate) top: Level,
    /// The bits that no IOVA has: all from `input_bits` on.
    pub(crate) beyond_iova: u64,
    /// The bits that no physical address has: all from `output_bits` on.
    pub(crate) beyond_phys: u64,
    /// No value of `F` is held: `Send` and `Sync` depend on `M` alone.
    format: PhantomData<fn() -> F>,
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
        let beyond_iova = bits_from(config.input_bits, input_bits)?;
        let beyond_phys = bits_from(config.output_bits, 52)?;
        let root = alloc(&memory, beyond_phys, context)?;
        memory.publish(memory.table(&root).entries());
        Ok(Self {
            memory,
            root,
            config,
            top: config.levels.top(),
            beyond_iova,
            beyond_phys,
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

    /// The entry of the page directory for `iova`, when it and all entries on the way point to
    /// tables that the walker sees, which [`Encoding::LINKED`] in it says; 0 otherwise.
    ///
    /// Unrolled, because this is most of what mapping or unmapping one page takes.
    ///
    /// [`Encoding::LINKED`]: crate::format::sealed::Encoding::LINKED
    #[inline(always)]
    pub(crate) fn linked_entry(&self, iova: u64) -> u64 {
        let mut table = self.root_table();
        if self.top == Level::PML5 {
            let entry = load(table, Level::PML5, iova);
            if entry & F::LINKED == 0 {
                return 0;
            }
            table = self.table(entry);
        }
        if self.top >= Level::PML4 {
            let entry = load(table, Level::PML4, iova);
            if entry & F::LINKED == 0 {
                return 0;
            }
            table = self.table(entry);
        }
        let entry = load(table, Level::PDPT, iova);
        if entry & F::LINKED == 0 {
            return 0;
        }
        load(self.table(entry), Level::PD, iova)
    }

    /// The table that `entry` points to.
    #[inline(always)]
    pub(crate) fn table(&self, entry: u64) -> &Table {
        self.memory.table(&TableAddr::from_entry(entry))
    }

    /// The table of `level` for `iova`, with tables added where they are missing.
    pub(crate) fn table_at(
        &self,
        iova: u64,
        level: Level,
        context: M::Context,
    ) -> Result<&Table, Error> {
        let mut table = self.root_table();
        let mut at = self.top;
        while at > level {
            let slot = table.entry(at.index(iova));
            let mut entry = load(table, at, iova);
            if entry & F::LINKED == 0 {
                entry = self.add_table(slot, entry, at, context)?;
            }
            table = self.table(entry);
            at = at.below();
        }
        Ok(table)
    }

    /// Makes `entry`, loaded from `slot` in a table of `level`, point to a table that the walker
    /// sees. Returns the entry that does.
    #[cold]
    fn add_table(
        &self,
        slot: &AtomicU64,
        mut entry: u64,
        level: Level,
        context: M::Context,
    ) -> Result<u64, Error> {
        if entry == 0 {
            let new = self.alloc(context)?;
            match self.link(slot, 0, &new) {
                Ok(entry) => return Ok(entry),
                Err(other) => {
                    // Somebody else needed the same table and was faster.
                    self.memory.free(new);
                    entry = other;
                }
            }
        }
        if is_leaf(level, entry) {
            return Err(Error::Exists);
        }
        if entry & F::LINKED == 0 {
            // Whoever linked it may not have published the entry yet, and the walker has to see
            // all that was mapped when the call that mapped it returns.
            self.memory.publish(core::slice::from_ref(slot));
        }
        Ok(entry)
    }

    #[inline]
    pub(crate) fn alloc(&self, context: M::Context) -> Result<TableAddr<M>, Error> {
        alloc(&self.memory, self.beyond_phys, context)
    }

    /// Replaces `old` in `slot` by a pointer to `table`. Returns the new entry, or the one that is
    /// there instead of `old`.
    pub(crate) fn link(
        &self,
        slot: &AtomicU64,
        old: u64,
        table: &TableAddr<M>,
    ) -> Result<u64, u64> {
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

/// The entry for `iova` in `table`, which is of `level`.
#[inline(always)]
pub(crate) fn load(table: &Table, level: Level, iova: u64) -> u64 {
    // Acquire: pairs with the release in `link`, so that a table is seen as it was linked.
    table.entry(level.index(iova)).load(Ordering::Acquire)
}

fn alloc<M: PageMemory>(
    memory: &M,
    beyond_phys: u64,
    context: M::Context,
) -> Result<TableAddr<M>, Error> {
    let phys = memory.alloc(context).ok_or(Error::NoMemory)?;
    TableAddr::new(phys, beyond_phys).map_err(|unusable| {
        memory.free(unusable);
        Error::TableAddress
    })
}

/// All bits from number `bits` on, which lies between a page and `max`.
fn bits_from(bits: u8, max: u8) -> Result<u64, Error> {
    if u32::from(bits) < PAGE_SHIFT || bits > max {
        return Err(Error::Width);
    }
    Ok(u64::MAX.wrapping_shl(u32::from(bits)))
}

// SPDX-License-Identifier: GPL-2.0

//! The memory of tables, as the caller provides it.

use crate::atomic::AtomicU64;
use crate::format::ADDRESS;
use crate::level::ENTRIES;
use core::fmt;
use core::marker::PhantomData;
use siov_types::PhysAddr;
use static_assertions::const_assert_eq;

/// One table: 512 entries on 4 KiB of memory, the layout of the hardware (VT-d spec, 9.7 and 9.8).
///
/// Entries are atomic because hardware sets accessed and dirty bits in them, and because other
/// processors install tables beside ours.
#[cfg_attr(not(loom), repr(C, align(4096)))]
pub struct Table([AtomicU64; ENTRIES]);

#[cfg(not(loom))]
const_assert_eq!(core::mem::size_of::<Table>() as u64, siov_types::PAGE_SIZE);

/// Entries of a run that are looked at, or written, at once.
pub(crate) const CHUNK: usize = if cfg!(loom) { 2 } else { 8 };

/// The same for all entries of a table, of which this is a divisor.
pub(crate) const WHOLE_CHUNK: usize = if cfg!(loom) { 2 } else { 32 };

const_assert_eq!(ENTRIES % WHOLE_CHUNK, 0);

impl Table {
    /// A table without entries, for memory that is not made of raw pages.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; ENTRIES])
    }

    /// As above; loom's atomics are not made at compile time.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(core::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// The entries, for those who have the table anyway: the memory that it lies in, and a model of
    /// hardware in a test.
    #[inline(always)]
    pub fn entries(&self) -> &[AtomicU64; ENTRIES] {
        &self.0
    }

    /// The entry `index`, of which as many low bits count as no index can exceed.
    #[inline(always)]
    pub(crate) fn entry(&self, index: usize) -> &AtomicU64 {
        &self.0[index & (ENTRIES - 1)]
    }

    /// The entries from `index` on, taken as in [`Self::entry`], at most `count`.
    #[inline(always)]
    pub(crate) fn run(&self, index: usize, count: u64) -> &[AtomicU64] {
        let from = self.0.get(index & (ENTRIES - 1)..).unwrap_or_default();
        let count = count.min(from.len() as u64) as usize;
        from.get(..count).unwrap_or_default()
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

/// The physical address of a table in memory of type `M`.
///
/// Only this crate makes one: from what [`PageMemory::alloc`] of an `M` returned, or from an entry
/// that was made of such an address. None can be copied, or turned into one of another type of
/// memory. The owner of a value owns the table; a reference is to the address of a table that has
/// not been freed, as long as the users of the page table keep to the rule that a range has one
/// user at a time.
#[must_use = "a table that is dropped without being freed is leaked"]
pub struct TableAddr<M: ?Sized>(
    PhysAddr,
    /// Exactly `M`: not even its lifetimes may be shortened. No value of `M` is held.
    PhantomData<fn(&M) -> &M>,
);

impl<M: ?Sized> TableAddr<M> {
    /// Takes over a page from [`PageMemory::alloc`], when an entry can hold its address and it
    /// has none of the bits `beyond`.
    #[inline]
    pub(crate) fn new(phys: PhysAddr, beyond: u64) -> Result<Self, Self> {
        let addr = Self(phys, PhantomData);
        if phys.raw() & (beyond | !ADDRESS) == 0 {
            Ok(addr)
        } else {
            Err(addr)
        }
    }

    /// The table that `entry` points to.
    #[inline(always)]
    pub(crate) fn from_entry(entry: u64) -> Self {
        Self(PhysAddr::new(entry & ADDRESS), PhantomData)
    }

    /// The physical address, a multiple of 4 KiB.
    #[inline(always)]
    pub fn phys(&self) -> PhysAddr {
        self.0
    }
}

// Written out, because derived ones would demand the same of `M`.
impl<M: ?Sized> PartialEq for TableAddr<M> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<M: ?Sized> Eq for TableAddr<M> {}

impl<M: ?Sized> fmt::Debug for TableAddr<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Where the tables of one page table live. The implementation knows NUMA node and coherency.
///
/// An implementation that dereferences physical addresses owes more: see the crate's documentation.
pub trait PageMemory {
    /// What one call needs to allocate: in the kernel, gfp flags.
    type Context: Copy;

    /// A page of 4 KiB, zeroed; `None` when there is none. The hardware need not see the zeroes
    /// yet: every table is passed to [`Self::publish`] before it is linked.
    fn alloc(&self, context: Self::Context) -> Option<PhysAddr>;

    /// The table at `addr`: a page that [`Self::alloc`] returned and that was not freed, as
    /// [`TableAddr`] says.
    ///
    /// The page may come from another value of this type. An implementation whose values do not all
    /// see the same pages has to look it up.
    fn table(&self, addr: &TableAddr<Self>) -> &Table;

    /// Frees a table that no hardware can reach.
    fn free(&self, addr: TableAddr<Self>);

    /// Makes entries of one table visible to the walker: writes their cache lines back when it does
    /// not snoop processor caches, and does nothing when it does. On return the walker sees the
    /// values of before the call.
    fn publish(&self, entries: &[AtomicU64]);

    /// Whether the walker snoops processor caches (ECAP.SMPWC, or ECAP.C in legacy mode).
    fn coherent(&self) -> bool;
}

/// Takes tables of memory `M` that were unlinked and that hardware may still walk.
pub trait Gather<M: PageMemory> {
    /// Takes over `table`. Tables come one by one, a table after the tables below it; none of their
    /// entries need be looked at. The caller frees them once the call that gathers has returned and
    /// the range that it touched has been invalidated, paging-structure caches included (no
    /// invalidation hint: VT-d spec, 6.5.2).
    fn table(&mut self, table: TableAddr<M>);
}

// SPDX-License-Identifier: GPL-2.0

//! Page tables of VT-d: 512-way radix trees that translate the addresses of DMA requests, in the
//! formats of both translation stages, over memory that the caller provides.
//!
//! [`PageTable`] is generic over the entry [`Format`] ([`SecondStage`] or [`FirstStage`]) and over
//! the [`PageMemory`] its tables live in, so the kernel and the host tests run the same code.
//!
//! # Who may call what at the same time
//!
//! There is no lock. The rule is that of the kernel's IOMMU API: **a range of IOVA has one user at
//! a time.** Calls of [`PageTable::map`] and [`PageTable::unmap`] may run concurrently as long as
//! their ranges are disjoint; the tables that such calls share are installed and split by
//! compare-exchange. Lookups may run concurrently with changes outside of the range they look at.
//!
//! [`PageTable::for_each_leaf`] and [`PageTable::table_pages`] look at tables of other users too. A
//! caller that runs them beside an `unmap` has to hold back the freeing of detached tables
//! meanwhile; what they report is then a mixture of old and new, and never wild.
//!
//! # Who owes what
//!
//! All of this crate is safe code, so whatever a caller or an implementation of [`PageMemory`] or
//! [`Gather`] in safe code does, the worst that comes of it is a wrong translation or a panic. What
//! it can rely on, and what it cannot:
//!
//! - **This crate** makes a [`TableAddr<M>`](TableAddr) only of what [`PageMemory::alloc`] of an
//!   `M` returned, and passes it to an `M` or to a `Gather<M>` only. So memory that safe code made
//!   up yields addresses for itself alone: no safe code can have another type of memory take one.
//! - **An implementation that dereferences addresses** (the kernel's) has unsafe code, which relies
//!   on a table not being freed while somebody uses it. This crate cannot see to that, since two
//!   calls for one range at a time break it, and so does a `Gather` that frees before the
//!   invalidation. Such a type is therefore private to one module, which alone makes page tables of
//!   it, calls [`PageTable::map`] and [`PageTable::unmap`] only for ranges that have one user, and
//!   implements [`Gather`] for it.
//! - **Memory of safe code** (the tests') looks addresses up, and may be public.
//!
//! Memory in safe code makes up an address, and gets it back:
//!
//! ```
//! # use core::sync::atomic::AtomicU64;
//! # use siov_iopgtable::{Gather, PageMemory, Table, TableAddr};
//! # use siov_types::PhysAddr;
//! struct MadeUp;
//!
//! impl PageMemory for MadeUp {
//!     type Context = ();
//!     fn alloc(&self, (): ()) -> Option<PhysAddr> {
//!         Some(PhysAddr::new(0x100_0000))
//!     }
//! #   fn table(&self, _: &TableAddr<Self>) -> &Table {
//! #       unimplemented!()
//! #   }
//! #   fn free(&self, _: TableAddr<Self>) {}
//! #   fn publish(&self, _: &[AtomicU64]) {}
//! #   fn coherent(&self) -> bool {
//! #       true
//! #   }
//! }
//!
//! struct Caught<M>(Option<TableAddr<M>>);
//!
//! impl<M: PageMemory> Gather<M> for Caught<M> {
//!     fn table(&mut self, table: TableAddr<M>) {
//!         self.0 = Some(table);
//!     }
//! }
//!
//! fn give_back(memory: &MadeUp, caught: Caught<MadeUp>) {
//!     caught.0.map(|addr| memory.free(addr));
//! }
//! ```
//!
//! Another memory does not take it:
//!
//! ```compile_fail,E0308
//! # use siov_iopgtable::{PageMemory, TableAddr};
//! fn give_away<M: PageMemory, MadeUp>(memory: &M, addr: TableAddr<MadeUp>) {
//!     memory.free(addr);
//! }
//! ```
//!
//! Not even memory that differs in a lifetime only, which may stand for one value of the type:
//!
//! ```compile_fail
//! # use siov_iopgtable::TableAddr;
//! # struct Arena<'a>(&'a ());
//! fn shorten<'a>(addr: TableAddr<Arena<'static>>) -> TableAddr<Arena<'a>> {
//!     addr
//! }
//! ```
//!
//! # Invalidation
//!
//! This crate changes tables; it does not talk to the remapping hardware. After `unmap`, and after
//! a `map` that handed tables to its [`Gather`], the caller invalidates the range it is told before
//! it frees the gathered tables.

#![no_std]
#![forbid(unsafe_code)]

/// The language's atomics, or those of a model (`--cfg loom`).
#[cfg(not(loom))]
pub mod atomic {
    pub use core::sync::atomic::{AtomicU64, Ordering};
}
#[cfg(loom)]
#[path = "../../loom/atomic.rs"]
pub mod atomic;
mod config;
mod error;
mod format;
mod level;
mod map;
mod memory;
mod page_table;
mod unmap;
mod walk;

pub use config::{Config, LeafSize, Levels};
pub use error::Error;
pub use format::{FirstStage, Format, Prot, SecondStage};
pub use memory::{Gather, PageMemory, Table, TableAddr};
pub use page_table::PageTable;
pub use unmap::Unmapped;
pub use walk::Leaf;

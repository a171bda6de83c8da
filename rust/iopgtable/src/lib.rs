// SPDX-License-Identifier: GPL-2.0

//! Page tables of VT-d: 512-way radix trees that translate the addresses of DMA requests, in the
//! formats of both translation stages, over memory that the caller provides.
//!
//! [`PageTable`] is generic over the entry [`Format`] ([`SecondStage`] or [`FirstStage`]) and over
//! the [`PageMemory`] its tables live in, so the kernel and the host tests run the same code.
//!
//! # Who may call what at the same time
//!
//! There is no lock. The rule is that of the kernel's IOMMU API: **a range of IOVA has one user at a
//! time.** Calls of [`PageTable::map`] and [`PageTable::unmap`] may run concurrently as long as
//! their ranges are disjoint; the tables that such calls share are installed and split by
//! compare-exchange. Lookups may run concurrently with changes outside of the range they look at.
//!
//! [`PageTable::for_each_leaf`] and [`PageTable::table_pages`] look at tables of other users too. A
//! caller that runs them beside an `unmap` has to hold back the freeing of detached tables
//! meanwhile; what they report is then a mixture of old and new, and never wild.
//!
//! # Invalidation
//!
//! This crate changes tables; it does not talk to the remapping hardware. After `unmap`, and after a
//! `map` that handed tables to its [`Gather`], the caller invalidates the range it is told before it
//! frees the gathered tables.

#![no_std]
#![forbid(unsafe_code)]

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

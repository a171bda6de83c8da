// SPDX-License-Identifier: GPL-2.0

//! VT-d in scalable mode: every format that hardware and firmware fix, and every algorithm that
//! needs no kernel to run or to test.
//!
//! Section numbers refer to revision 4.1 of the *Intel Virtualization Technology for Directed I/O
//! Architecture Specification*.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

#[cfg(test)]
extern crate std;

/// The language's atomics, or those of a model (`--cfg loom`).
#[cfg(not(loom))]
pub mod atomic {
    pub use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}
#[cfg(loom)]
#[path = "../../loom/atomic.rs"]
pub mod atomic;
mod bits;
pub mod capability;
pub mod context;
pub mod dmar;
pub mod errata;
pub mod fault;
pub mod invalidate;
mod layout;
pub mod pasid;
#[cfg(test)]
mod proptest_config;
pub mod queue;
pub mod regs;
pub mod root;
pub mod width;

pub use capability::{Capability, ExtendedCapability};
pub use context::{ContextEntry, ContextFlags};
pub use pasid::{DirectoryEntry, DirectorySize, PasidEntry};
pub use root::{RootEntry, RootHalf};
pub use width::{AddressWidth, FirstStageMode};

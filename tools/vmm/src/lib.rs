// SPDX-License-Identifier: GPL-2.0

//! A small user of KVM: what a virtual machine monitor does to have writes coalesced, in a few
//! hundred lines, and the means to test it.
//!
//! - [`Vm`] and [`Vcpu`]: a machine with a little memory, whose processors run one of the programs
//!   of [`guest`];
//! - [`Zone`] and [`SharedRing`]: registering ranges, and the page in which the writes wait;
//! - [`Board`]: a clock and a PCI host bridge behind I/O ports, served from exits and from the
//!   ring.
//!
//! The rule that makes coalescing invisible to a guest: **the ring is drained before any exit is
//! handled.** A write that waits came before the access that caused the exit.

pub mod bench;
pub mod board;
pub mod debugfs;
pub mod guest;
mod memory;
mod ring;
pub mod segments;
pub mod table;
mod vcpu;
mod vm;
mod zone;

pub use board::Board;
pub use ring::SharedRing;
pub use vcpu::{Event, Vcpu};
pub use vm::{Machine, Vm};
pub use zone::{Fallback, Zone};

/// Guest physical address of a range without memory, which [`guest::Operation`]s can reach.
pub const MMIO: u64 = 0x1000_0000;

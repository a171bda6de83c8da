// SPDX-License-Identifier: GPL-2.0

//! What the tests share: memory that watches its use, hardware that walks it, and a naive model of
//! what a page table should do.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

pub mod memory;
pub mod model;
pub mod walker;

use memory::{Held, Memory};
use siov_iopgtable::{Config, Format, LeafSize, Levels, PageTable};

pub const K4: u64 = 1 << 12;
pub const M2: u64 = 1 << 21;
pub const G1: u64 = 1 << 30;
pub const G512: u64 = 1 << 39;

pub const LEVELS: [Levels; 3] = [Levels::Three, Levels::Four, Levels::Five];
pub const SIZES: [LeafSize; 3] = [LeafSize::Size4K, LeafSize::Size2M, LeafSize::Size1G];

/// The widest page table that format `F` has with these levels, and the memory it lies in.
pub fn table<F: walker::Stage>(
    levels: Levels,
    max_leaf: LeafSize,
    coherent: bool,
) -> (PageTable<F, Memory>, Memory) {
    let memory = Memory::new(coherent);
    let config = Config {
        levels,
        max_leaf,
        input_bits: F::input_width(levels),
        output_bits: 46,
    };
    let table = PageTable::new(memory.clone(), config, ()).expect("a valid configuration");
    (table, memory)
}

/// Drops `table` and checks that not one page of its memory is left.
pub fn finish<F: Format>(table: PageTable<F, Memory>, memory: &Memory) {
    drop(table);
    assert_eq!(memory.live(), 0, "tables leaked");
}

/// A gather for `memory`.
pub fn gather(memory: &Memory) -> Held {
    Held::new(memory.clone())
}

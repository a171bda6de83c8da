// SPDX-License-Identifier: GPL-2.0

//! Hardware that translates an address by walking tables, written from the VT-d specification's
//! entry layouts alone.

use super::memory::{Memory, GARBAGE};
use siov_iopgtable::{FirstStage, Format, Levels, SecondStage};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// What the hardware makes of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translation {
    pub phys: u64,
    pub read: bool,
    pub write: bool,
    /// Bytes of the page that the address lies in.
    pub size: u64,
}

/// Bits of the host address that tests use.
const HAW: u32 = 46;

/// Page size, bit 7: a leaf, in tables of level 2 and 3.
const PS: u64 = 1 << 7;

fn bits(high: u32, low: u32) -> u64 {
    (u64::MAX >> (63 - high)) & (u64::MAX << low)
}

/// How a format grants access and what it reserves.
pub trait Stage: Format + 'static {
    const NAME: &'static str;

    /// Whether the hardware has tables of this format and these levels.
    fn has(levels: Levels) -> bool;

    /// Widest addresses without sign extension.
    fn input_width(levels: Levels) -> u8;

    /// Read and write permission of an entry, `None` when it is not present.
    fn access(entry: u64) -> Option<(bool, bool)>;

    /// Bits that must be 0, beside those of the address, in an entry of a table of `level` (1 for
    /// the page table).
    fn reserved(level: u32, leaf: bool) -> u64;

    /// Bits that hardware sets on use, and on writing.
    fn accessed_dirty() -> (u64, u64);
}

impl Stage for SecondStage {
    const NAME: &'static str = "second stage";

    fn has(_: Levels) -> bool {
        true
    }

    fn input_width(levels: Levels) -> u8 {
        levels.address_bits()
    }

    fn access(entry: u64) -> Option<(bool, bool)> {
        let (read, write) = (entry & 1 != 0, entry & 2 != 0);
        (read || write).then_some((read, write))
    }

    // 9.8: bits 61:52 and 63 are ignored, bit 62 is not among them; bit 7 is reserved in PML5E and
    // PML4E; bit 11 is SNP of a leaf.
    fn reserved(level: u32, leaf: bool) -> u64 {
        let mut reserved = 1 << 62;
        if level >= 4 {
            reserved |= 1 << 7;
        }
        if !leaf {
            reserved |= 1 << 11;
        }
        reserved
    }

    fn accessed_dirty() -> (u64, u64) {
        (0x100, 0x200)
    }
}

impl Stage for FirstStage {
    const NAME: &'static str = "first stage";

    fn has(levels: Levels) -> bool {
        levels != Levels::Three
    }

    fn input_width(levels: Levels) -> u8 {
        levels.address_bits() - 1
    }

    fn access(entry: u64) -> Option<(bool, bool)> {
        // A user request needs U/S in each entry.
        (entry & 1 != 0).then(|| {
            assert!(entry & 4 != 0, "{entry:#x} is for the supervisor only");
            (true, entry & 2 != 0)
        })
    }

    // 9.7: bit 7 is reserved in PML5E and PML4E; the others are XD, PWT, PCD and PAT, none of which
    // was asked for.
    fn reserved(level: u32, leaf: bool) -> u64 {
        let mut reserved = (1 << 63) | (1 << 3) | (1 << 4);
        if level >= 4 || level == 1 {
            reserved |= 1 << 7;
        }
        if leaf && level > 1 {
            reserved |= 1 << 12;
        }
        reserved
    }

    fn accessed_dirty() -> (u64, u64) {
        (0x20, 0x40)
    }
}

/// The walker of one page table.
pub struct Walker {
    memory: Memory,
    root: u64,
    levels: u32,
}

impl Walker {
    pub fn new(memory: &Memory, root: u64, levels: Levels) -> Self {
        Self {
            memory: memory.clone(),
            root,
            levels: match levels {
                Levels::Three => 3,
                Levels::Four => 4,
                Levels::Five => 5,
            },
        }
    }

    /// Translates `address`; `None` is a fault.
    pub fn translate<F: Stage>(&self, address: u64) -> Option<Translation> {
        let mut table = self.root;
        let mut level = self.levels;
        let (mut read, mut write) = (true, true);
        loop {
            let shift = 12 + 9 * (level - 1);
            let entry = self
                .memory
                .walker_reads(table, (address >> shift) as usize % 512);
            let access = F::access(entry)?;
            read &= access.0;
            write &= access.1;
            let leaf = level == 1 || level <= 3 && entry & PS != 0;
            self.check::<F>(entry, level, leaf);
            if leaf {
                let offset = bits(shift - 1, 0);
                return Some(Translation {
                    phys: entry & bits(51, 12) & !offset | address & offset,
                    read,
                    write,
                    size: 1 << shift,
                });
            }
            table = entry & bits(51, 12);
            level -= 1;
        }
    }

    fn check<F: Stage>(&self, entry: u64, level: u32, leaf: bool) {
        let mut reserved = F::reserved(level, leaf) | bits(51, HAW);
        if leaf && level > 1 {
            reserved |= bits(12 + 9 * (level - 1) - 1, 12);
        }
        assert_eq!(
            entry & reserved,
            0,
            "reserved bits in {entry:#x} at level {level}"
        );
    }

    /// Physical addresses of all tables that a walk can reach, the root among them.
    pub fn tables<F: Stage>(&self) -> BTreeSet<u64> {
        let mut found = BTreeSet::from([self.root]);
        self.collect::<F>(self.root, self.levels, &mut found);
        found
    }

    fn collect<F: Stage>(&self, table: u64, level: u32, found: &mut BTreeSet<u64>) {
        for entry in self.memory.walker_sees(table).entries() {
            let entry = entry.load(Ordering::SeqCst);
            assert_ne!(entry, GARBAGE, "{table:#x} was not published in full");
            let leaf = level == 1 || level <= 3 && entry & PS != 0;
            if F::access(entry).is_none() || leaf {
                continue;
            }
            let below = entry & bits(51, 12);
            assert!(found.insert(below), "{below:#x} is linked twice");
            self.collect::<F>(below, level - 1, found);
        }
    }

    /// Where the entry for `address` is in a table of `level`, by the processor's view: table and
    /// index.
    pub fn slot(&self, address: u64, level: u32) -> (u64, usize) {
        let mut table = self.root;
        let mut at = self.levels;
        loop {
            let index = (address >> (12 + 9 * (at - 1))) as usize % 512;
            if at == level {
                return (table, index);
            }
            table = self.memory.processor_reads(table, index) & bits(51, 12);
            at -= 1;
        }
    }

    /// The raw entry for `address` in a table of `level`, by the processor's view.
    pub fn entry(&self, address: u64, level: u32) -> u64 {
        let (table, index) = self.slot(address, level);
        self.memory.processor_reads(table, index)
    }
}

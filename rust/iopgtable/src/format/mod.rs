// SPDX-License-Identifier: GPL-2.0

//! The encodings of table entries.
//!
//! Both formats agree on more than they differ in: an entry of zero is not present, bits 51:12 hold
//! an address, and bit 7 above the page table makes an entry a leaf.

mod first_stage;
mod second_stage;

pub use first_stage::FirstStage;
pub use second_stage::SecondStage;

use crate::config::Levels;
use crate::level::Level;
use bitflags::bitflags;

bitflags! {
    /// What a device may do with a page. The values are the second stage's own.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Prot: u64 {
        /// Read, and fetch.
        const READ = 1 << 0;
        /// Write.
        const WRITE = 1 << 1;
        /// Force snooping of processor caches, whatever the request says (second stage only, where
        /// ECAP.SC is set; a first stage has it in the PASID entry and ignores this).
        const SNOOP = 1 << 11;
    }
}

/// Bits 51:12: the address of a table or a page.
pub(crate) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Page size: a leaf, in a page directory or page directory pointer table.
pub(crate) const PAGE_SIZE_BIT: u64 = 1 << 7;

/// The encoding of entries of one translation stage.
pub trait Format: sealed::Encoding {}

pub(crate) mod sealed {
    use super::{Levels, Prot};

    /// What [`Format`](super::Format) means inside of this crate.
    pub trait Encoding {
        /// Set in every leaf, whatever it permits, and never in an empty entry: whether a run of
        /// entries has a hole is seen by and-ing them.
        const PRESENT: u64;

        /// The bits of an entry that points to a table, beside address and [`Self::LINKED`].
        const TABLE: u64;

        /// A bit that hardware ignores: the entry points to a table, and both have reached the
        /// memory that the walker reads.
        const LINKED: u64;

        /// Set by hardware on a use of a leaf.
        const ACCESSED: u64;

        /// Set by hardware on a write through a leaf.
        const DIRTY: u64;

        /// Number of address bits without a sign, for this number of levels; `None` when the format
        /// does not have it.
        fn input_bits(levels: Levels) -> Option<u8>;

        /// The bits of a leaf beside its address and [`PAGE_SIZE_BIT`](super::PAGE_SIZE_BIT).
        fn leaf(prot: Prot) -> u64;

        /// What a leaf permits.
        fn prot(entry: u64) -> Prot;
    }
}

/// The bit that tells a leaf of `level` from a pointer to a table.
#[inline(always)]
pub(crate) fn size_bit(level: Level) -> u64 {
    if level == Level::PT {
        0
    } else {
        PAGE_SIZE_BIT
    }
}

/// Whether `entry`, not empty, of a table of `level`, is a leaf.
#[inline(always)]
pub(crate) fn is_leaf(level: Level, entry: u64) -> bool {
    level == Level::PT || entry & PAGE_SIZE_BIT != 0
}

/// The physical address that a leaf of `level` maps. The bits of the address below the page's size
/// are not address: bit 12 of a large first-stage page is PAT.
#[inline(always)]
pub(crate) fn leaf_address(level: Level, entry: u64) -> u64 {
    entry & ADDRESS & !level.size().wrapping_sub(1)
}

// SPDX-License-Identifier: GPL-2.0

//! The levels of the tree.

/// log2 of the number of entries of a table. Models of concurrent code (`--cfg loom`) make do with
/// less, since each entry is one more thing to keep track of.
const INDEX_BITS: u32 = if cfg!(loom) { 2 } else { 9 };

/// Number of entries of a table.
pub(crate) const ENTRIES: usize = 1 << INDEX_BITS;

/// A level of the tree, held as log2 of the bytes that one entry of its tables translates. Ordered
/// from the leaves to the root.
///
/// Shifts and sums wrap: a shift is one of five constants below 64, and the kernel compiles checked
/// arithmetic with a branch and a panic that could never be taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Level(u32);

impl Level {
    /// Page table: entries map 4 KiB pages.
    pub(crate) const PT: Self = Self(12);
    /// Page directory: entries map 2 MiB or point to page tables.
    pub(crate) const PD: Self = Self(12 + INDEX_BITS);
    /// Page directory pointer table: entries map 1 GiB or point to page directories.
    pub(crate) const PDPT: Self = Self(12 + 2 * INDEX_BITS);
    /// Root of four levels.
    pub(crate) const PML4: Self = Self(12 + 3 * INDEX_BITS);
    /// Root of five levels.
    pub(crate) const PML5: Self = Self(12 + 4 * INDEX_BITS);

    /// Number of low address bits that tables of this level and below translate.
    pub(crate) const fn address_bits(self) -> u8 {
        (self.0 + INDEX_BITS) as u8
    }

    /// Bytes that one entry translates.
    #[inline(always)]
    pub(crate) const fn size(self) -> u64 {
        1u64.wrapping_shl(self.0)
    }

    /// Number of whole entries that `len` bytes take.
    #[inline(always)]
    pub(crate) const fn count(self, len: u64) -> u64 {
        len.wrapping_shr(self.0)
    }

    /// Number of bytes that `count` entries translate.
    #[inline(always)]
    pub(crate) const fn bytes(self, count: usize) -> u64 {
        (count as u64).wrapping_shl(self.0)
    }

    /// Number of the entry for an address.
    #[inline(always)]
    pub(crate) const fn index(self, iova: u64) -> usize {
        (iova.wrapping_shr(self.0) & (ENTRIES as u64 - 1)) as usize
    }

    /// The level of the tables that entries of this level point to.
    #[inline(always)]
    pub(crate) const fn below(self) -> Self {
        Self(self.0.wrapping_sub(INDEX_BITS))
    }

    /// Whether an entry at this level covers exactly from `iova`, within the `left` bytes after it.
    #[inline(always)]
    pub(crate) const fn covered(self, iova: u64, left: u64) -> bool {
        iova & self.size().wrapping_sub(1) == 0 && left >= self.size()
    }
}

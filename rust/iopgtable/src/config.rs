// SPDX-License-Identifier: GPL-2.0

//! The shape of a page table.

use crate::level::Level;

/// Number of levels of tables that the hardware walks (VT-d spec, 3.6 and 3.7; CAP.SAGAW).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Levels {
    /// 39 bits of address. Second stage only.
    Three,
    /// 48 bits of address.
    Four,
    /// 57 bits of address.
    Five,
}

impl Levels {
    /// Number of low address bits that this many levels translate.
    #[inline]
    pub const fn address_bits(self) -> u8 {
        self.top().address_bits()
    }

    pub(crate) const fn top(self) -> Level {
        match self {
            Self::Three => Level::PDPT,
            Self::Four => Level::PML4,
            Self::Five => Level::PML5,
        }
    }
}

/// Sizes of the pages that entries can map.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LeafSize {
    /// 4 KiB.
    Size4K,
    /// 2 MiB (second stage: CAP.SSLPS bit 0).
    Size2M,
    /// 1 GiB (second stage: CAP.SSLPS bit 1; first stage: CAP.FS1GP).
    Size1G,
}

impl LeafSize {
    /// The size in bytes.
    #[inline]
    pub const fn bytes(self) -> u64 {
        self.level().size()
    }

    pub(crate) const fn level(self) -> Level {
        match self {
            Self::Size4K => Level::PT,
            Self::Size2M => Level::PD,
            Self::Size1G => Level::PDPT,
        }
    }

    /// The size of a leaf at `level`.
    pub(crate) fn at(level: Level) -> Self {
        if level == Level::PT {
            Self::Size4K
        } else if level == Level::PD {
            Self::Size2M
        } else {
            Self::Size1G
        }
    }
}

/// The shape of a page table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Levels of tables.
    pub levels: Levels,
    /// Largest page to map; smaller ones are always possible.
    pub max_leaf: LeafSize,
    /// IOVAs lie below two to the power of this: the smaller of what the levels translate and what
    /// the hardware accepts (CAP.MGAW + 1). One less than that for a first stage, whose upper half
    /// is reached by sign-extended addresses only (VT-d spec, 3.6).
    pub input_bits: u8,
    /// Physical addresses lie below two to the power of this, 52 at most; the host address width.
    pub output_bits: u8,
}

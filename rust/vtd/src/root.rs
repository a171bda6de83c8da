// SPDX-License-Identifier: GPL-2.0

//! The scalable-mode root table: one entry per bus, with one context table for each half of the
//! bus's functions (VT-d spec, 9.2).

use siov_types::{Bdf, PhysAddr};

use crate::bits::{Field, PAGE_ADDRESS};

/// Which half of a bus a function belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Half {
    /// Devices 0 to 15, functions `0x00` to `0x7f`.
    Lower = 0,
    /// Devices 16 to 31, functions `0x80` to `0xff`.
    Upper = 1,
}

impl Half {
    /// The half that holds `bdf`.
    #[inline]
    pub const fn of(bdf: Bdf) -> Self {
        if bdf.devfn() < 0x80 {
            Self::Lower
        } else {
            Self::Upper
        }
    }
}

/// One half of a root entry: the pointer to a context table. Each half is written in one piece, so
/// neither disturbs the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct RootHalf(u64);

impl RootHalf {
    const P: Field = Field::bit(0);

    /// No context table: requests from this half of the bus are blocked.
    pub const EMPTY: Self = Self(0);

    /// Present, pointing to a context table, which is aligned to 4 KiB.
    #[inline]
    pub const fn new(context_table: PhysAddr) -> Self {
        Self(PAGE_ADDRESS.keep(context_table.raw()) | Self::P.put(1))
    }

    /// Wraps a word of the table.
    #[inline]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The word as it stands in the table.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// LP or UP.
    #[inline]
    pub const fn is_present(self) -> bool {
        Self::P.is_set(self.0)
    }

    /// The context table; `None` when there is none.
    #[inline]
    pub const fn context_table(self) -> Option<PhysAddr> {
        if self.is_present() {
            Some(PhysAddr::new(PAGE_ADDRESS.keep(self.0)))
        } else {
            None
        }
    }
}

/// A root entry, 16 bytes. A root table is one 4 KiB page of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct RootEntry {
    /// Context table of functions `0x00` to `0x7f`.
    pub lower: RootHalf,
    /// Context table of functions `0x80` to `0xff`.
    pub upper: RootHalf,
}

impl RootEntry {
    /// Entries in a root table: one per bus.
    pub const COUNT: usize = 256;

    /// Index in the root table of the entry for `bdf`.
    #[inline]
    pub const fn index(bdf: Bdf) -> usize {
        bdf.bus() as usize
    }

    /// Index of the half for `bdf` when the root table is seen as 64-bit words.
    #[inline]
    pub const fn word_index(bdf: Bdf) -> usize {
        Self::index(bdf) * 2 + Half::of(bdf) as usize
    }

    /// One of the halves.
    #[inline]
    pub const fn half(self, half: Half) -> RootHalf {
        match half {
            Half::Lower => self.lower,
            Half::Upper => self.upper,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves() {
        let e = RootHalf::new(PhysAddr::new(0xab_cdef_0000));
        assert_eq!(e.raw(), 0xab_cdef_0001);
        assert_eq!(e.context_table(), Some(PhysAddr::new(0xab_cdef_0000)));
        assert_eq!(RootHalf::EMPTY.context_table(), None);
        assert_eq!(RootHalf::from_raw(0x1000).context_table(), None);
        let both = RootEntry {
            lower: RootHalf::EMPTY,
            upper: e,
        };
        assert_eq!(both.half(Half::Upper), e);
        assert_eq!(both.half(Half::Lower), RootHalf::EMPTY);
    }

    #[test]
    fn where_a_function_is() {
        // 00:0f.7 is the last of the lower half, 00:10.0 the first of the upper.
        assert_eq!(Half::of(Bdf::new(0, 0x7f)), Half::Lower);
        assert_eq!(Half::of(Bdf::new(0, 0x80)), Half::Upper);
        assert_eq!(RootEntry::word_index(Bdf::new(0, 0x7f)), 0);
        assert_eq!(RootEntry::word_index(Bdf::new(0, 0x80)), 1);
        assert_eq!(RootEntry::word_index(Bdf::new(255, 0xff)), 511);
        assert_eq!(RootEntry::index(Bdf::new(0x3a, 0)), 0x3a);
    }
}

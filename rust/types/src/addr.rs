// SPDX-License-Identifier: GPL-2.0

//! Addresses: what a device puts on the bus, and what memory answers to.

use core::fmt;

/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;

/// Size in bytes of the smallest page and of every table that VT-d knows (VT-d spec, 3.7).
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Wraps a raw byte address.
            #[inline]
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }

            /// The raw byte address.
            #[inline]
            pub const fn raw(self) -> u64 {
                self.0
            }

            /// The address `bytes` further on, or `None` past the end of the address space.
            #[inline]
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }

            /// The address `bytes` further on, where the first address follows the last one: for
            /// the exclusive end of a range, which may be the end of the address space.
            #[inline]
            pub const fn wrapping_add(self, bytes: u64) -> Self {
                Self(self.0.wrapping_add(bytes))
            }

            /// The bytes from `base` up to here; `None` when this is below `base`.
            #[inline]
            pub const fn checked_sub(self, base: Self) -> Option<u64> {
                self.0.checked_sub(base.0)
            }

            /// Rounds down to a multiple of `size`, which is a power of two.
            #[inline]
            pub const fn align_down(self, size: u64) -> Self {
                Self(self.0 & !(size.wrapping_sub(1)))
            }

            /// Whether this is a multiple of `size`, which is a power of two.
            #[inline]
            pub const fn is_aligned(self, size: u64) -> bool {
                self.0 & size.wrapping_sub(1) == 0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

address! {
    /// An I/O virtual address: the address in a DMA request, before translation.
    Iova
}

address! {
    /// A host physical address: the address after translation, and the address of a table.
    PhysAddr
}

/// A non-empty range of IOVA, both ends inclusive, so that the last page of the address space needs
/// no special case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IovaRange {
    first: Iova,
    last: Iova,
}

impl IovaRange {
    /// The range from `first` to `last`, both inclusive; `None` when it would be empty.
    #[inline]
    pub const fn new(first: Iova, last: Iova) -> Option<Self> {
        if first.0 <= last.0 {
            Some(Self { first, last })
        } else {
            None
        }
    }

    /// `len` bytes from `start`; `None` when empty or past the end of the address space.
    #[inline]
    pub const fn from_len(start: Iova, len: u64) -> Option<Self> {
        match len.checked_sub(1) {
            None => None,
            Some(rest) => match start.checked_add(rest) {
                None => None,
                Some(last) => Some(Self { first: start, last }),
            },
        }
    }

    /// Every IOVA there is.
    pub const ALL: Self = Self {
        first: Iova::new(0),
        last: Iova::new(u64::MAX),
    };

    /// Bytes; `None` for [`Self::ALL`], whose number has 65 bits.
    #[inline]
    pub const fn size(self) -> Option<u64> {
        // A range is not empty.
        (self.last.0 - self.first.0).checked_add(1)
    }

    /// Whether some address is in both.
    #[inline]
    pub const fn overlaps(self, other: Self) -> bool {
        self.first.0 <= other.last.0 && other.first.0 <= self.last.0
    }

    /// First byte.
    #[inline]
    pub const fn first(self) -> Iova {
        self.first
    }

    /// Last byte.
    #[inline]
    pub const fn last(self) -> Iova {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_never_empty_and_never_wrap() {
        assert_eq!(IovaRange::from_len(Iova::new(0x1000), 0), None);
        assert_eq!(IovaRange::from_len(Iova::new(u64::MAX), 2), None);
        assert_eq!(IovaRange::new(Iova::new(2), Iova::new(1)), None);
        let top = IovaRange::from_len(Iova::new(u64::MAX - 0xfff), 0x1000);
        assert_eq!(top.map(|r| r.last()), Some(Iova::new(u64::MAX)));
        assert_eq!(top.and_then(IovaRange::size), Some(0x1000));
        assert_eq!(IovaRange::ALL.size(), None);
    }

    #[test]
    fn ranges_that_overlap() {
        let range = |first, last| IovaRange::new(Iova::new(first), Iova::new(last));
        let (Some(a), Some(b), Some(c)) = (range(0, 9), range(9, 19), range(10, 19)) else {
            panic!("none of them is empty");
        };
        assert!(a.overlaps(b) && b.overlaps(a) && b.overlaps(c));
        assert!(!a.overlaps(c) && !c.overlaps(a));
    }

    #[test]
    fn alignment() {
        let a = PhysAddr::new(0x1234_5678);
        assert_eq!(a.align_down(PAGE_SIZE), PhysAddr::new(0x1234_5000));
        assert!(a.align_down(1 << 21).is_aligned(1 << 21));
        assert!(!a.is_aligned(PAGE_SIZE));
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Memory in pages of 4 KiB, the unit in which it is pinned and accounted.

use crate::addr::{PhysAddr, PAGE_SHIFT};
use core::fmt;

/// A physical address has 64 bits, of which a page number is all but the lowest [`PAGE_SHIFT`].
const BITS: u32 = u64::BITS - PAGE_SHIFT;

/// The number of a page frame: a physical address without its lowest [`PAGE_SHIFT`] bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Pfn(u64);

impl Pfn {
    /// `None` for a number that no physical address has.
    #[inline]
    pub const fn new(raw: u64) -> Option<Self> {
        if raw >> BITS == 0 {
            Some(Self(raw))
        } else {
            None
        }
    }

    /// The frame that contains `address`.
    #[inline]
    pub const fn of(address: PhysAddr) -> Self {
        Self(address.raw() >> PAGE_SHIFT)
    }

    /// The number.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The address of the first byte.
    #[inline]
    pub const fn address(self) -> PhysAddr {
        PhysAddr::new(self.0 << PAGE_SHIFT)
    }

    /// The frame `pages` further on; `None` past the last one.
    #[inline]
    pub const fn checked_add(self, pages: PageCount) -> Option<Self> {
        // Two numbers of 52 bits.
        Self::new(self.0 + pages.0)
    }
}

impl fmt::Debug for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A number of pages, less than the address space has: as bytes they fit into 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct PageCount(u64);

impl PageCount {
    /// No pages.
    pub const ZERO: Self = Self(0);

    /// One page.
    pub const ONE: Self = Self(1);

    /// `None` for as many as the address space has, or more.
    #[inline]
    pub const fn new(raw: u64) -> Option<Self> {
        if raw >> BITS == 0 {
            Some(Self(raw))
        } else {
            None
        }
    }

    /// The whole pages in `bytes`.
    #[inline]
    pub const fn in_bytes(bytes: u64) -> Self {
        Self(bytes >> PAGE_SHIFT)
    }

    /// The number.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// What they take up.
    #[inline]
    pub const fn bytes(self) -> u64 {
        self.0 << PAGE_SHIFT
    }

    /// The sum, if it is a number of pages.
    #[inline]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        // Two numbers of 52 bits.
        Self::new(self.0 + other.0)
    }

    /// The difference; `None` if `other` is greater.
    #[inline]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// The difference, 0 if `other` is greater.
    #[inline]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl From<u16> for PageCount {
    #[inline]
    fn from(raw: u16) -> Self {
        Self(raw.into())
    }
}

impl fmt::Display for PageCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_addresses() {
        let frame = Pfn::of(PhysAddr::new(0x1234_5678));
        assert_eq!(frame.raw(), 0x1_2345);
        assert_eq!(frame.address(), PhysAddr::new(0x1234_5000));
        assert_eq!(Pfn::of(PhysAddr::new(u64::MAX)), Pfn((1 << 52) - 1));
        assert_eq!(Pfn::new(1 << 52), None);
    }

    #[test]
    fn sums_and_differences_do_not_wrap() {
        let most = PageCount::new((1 << 52) - 1);
        assert_eq!(most.map(PageCount::bytes), Some(!0xfff));
        assert_eq!(most.and_then(|m| m.checked_add(PageCount::ONE)), None);
        assert_eq!(PageCount::ZERO.checked_sub(PageCount::ONE), None);
        assert_eq!(
            PageCount::ZERO.saturating_sub(PageCount::ONE),
            PageCount::ZERO
        );
        assert_eq!(PageCount::in_bytes(0x2fff), PageCount::from(2));
        let last = Pfn::of(PhysAddr::new(u64::MAX));
        assert_eq!(last.checked_add(PageCount::ONE), None);
        assert_eq!(last.checked_add(PageCount::ZERO), Some(last));
    }
}

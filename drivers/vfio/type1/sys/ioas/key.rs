// SPDX-License-Identifier: GPL-2.0

//! How areas are ordered.

use core::cmp::Ordering;
use siov_types::{Iova, IovaRange, PAGE_SIZE};

/// Where an area is in the tree. Ranges that overlap compare as equal, so that one descent finds
/// what is in the way of a range; those of the tree never overlap, so that they are in order.
#[derive(Clone, Copy)]
pub(super) struct Key(IovaRange);

impl Key {
    /// Of an area: whole pages, and not all that there are. `None` for other ranges.
    pub(super) fn of_pages(range: IovaRange) -> Option<Self> {
        let size = range.size()?;
        (range.first().is_aligned(PAGE_SIZE) && size % PAGE_SIZE == 0).then_some(Self(range))
    }

    /// To look for an area that overlaps `range`.
    pub(super) fn around(range: IovaRange) -> Self {
        Self(range)
    }

    /// To look for the area that contains `iova`.
    pub(super) fn at(iova: Iova) -> Option<Self> {
        IovaRange::new(iova, iova).map(Self)
    }

    #[inline]
    pub(super) fn range(self) -> IovaRange {
        self.0
    }

    #[inline]
    pub(super) fn first(self) -> Iova {
        self.0.first()
    }

    /// The bytes of an area.
    #[inline]
    pub(super) fn size(self) -> u64 {
        self.0.size().unwrap_or(u64::MAX)
    }
}

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        if self.0.last() < other.0.first() {
            Ordering::Less
        } else if self.0.first() > other.0.last() {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

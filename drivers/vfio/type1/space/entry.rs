// SPDX-License-Identifier: GPL-2.0

//! How mappings are ordered, and what is seen of one from outside.

use crate::space::mapping::{Access, Mapping};
use core::cmp::Ordering;
use siov_types::{Iova, IovaRange};

/// Where a mapping is in the tree. Ranges that overlap count as equal, so that one descent finds what is
/// in the way of a range; ranges of the tree never overlap, so that they are in order.
#[derive(Clone, Copy)]
pub(super) struct Key(pub(super) IovaRange);

impl Key {
    pub(super) fn at(iova: Iova) -> Option<Self> {
        IovaRange::new(iova, iova).map(Self)
    }

    pub(super) fn size(self) -> u64 {
        let bytes = self.0.last().raw().wrapping_sub(self.0.first().raw());
        bytes.wrapping_add(1)
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
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

/// A mapping as it is seen from outside.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// Where devices find it.
    pub(crate) range: IovaRange,
    /// Its bytes.
    pub(crate) size: u64,
    /// What devices may do.
    pub(crate) access: Access,
    /// Whether drivers have pinned pages of it.
    pub(crate) has_pins: bool,
    /// Whether its process address is void, after `VFIO_DMA_UNMAP_FLAG_VADDR`.
    pub(crate) is_stale: bool,
}

impl Entry {
    pub(super) fn new(key: &Key, mapping: &Mapping) -> Self {
        Self {
            range: key.0,
            size: key.size(),
            access: mapping.access(),
            has_pins: mapping.has_pins(),
            is_stale: mapping.is_stale(),
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The range that user space has registered.

use crate::Space;

/// A range of addresses whose writes are coalesced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Zone {
    space: Space,
    size: u32,
    start: u64,
    /// The first address after the zone; 0 for one that reaches or crosses the end of the address
    /// space, which takes nothing.
    end: u64,
}

impl Zone {
    /// `size` bytes from `start` on. Every combination can be registered, as it always could.
    #[inline]
    pub const fn new(space: Space, start: u64, size: u32) -> Self {
        let end = match start.checked_add(size as u64) {
            Some(end) => end,
            None => 0,
        };
        Self {
            space,
            size,
            start,
            end,
        }
    }

    /// The address space.
    #[inline]
    pub const fn space(&self) -> Space {
        self.space
    }

    /// The first address.
    #[inline]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// Bytes.
    #[inline]
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// Whether all `len` bytes at `addr` belong to the zone. An access that crosses the end of the
    /// address space belongs to none.
    #[inline]
    pub const fn contains(&self, addr: u64, len: u64) -> bool {
        match addr.checked_add(len) {
            Some(end) => addr >= self.start && end <= self.end,
            None => false,
        }
    }

    /// Whether a request to unregister `range` removes this zone: it does if the zone contains the
    /// range. KVM takes the size for a signed number, so one of 2 GiB or more removes no zone.
    #[inline]
    pub fn is_removed_by(&self, range: &Zone) -> bool {
        self.space == range.space
            && range.size <= i32::MAX as u32
            && self.contains(range.start, range.size.into())
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Page frames side by side: what one call of the IOMMU API can map, and one call can unpin.

use core::fmt;
use siov_types::{Iova, PageCount, Pfn, PhysAddr};

/// Frames that follow each other, packed into the word that held the first of their page pointers.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Run(u64);

impl Run {
    const PAGES_BITS: u32 = 16;

    /// Most frames of a run.
    pub const MAX_PAGES: u64 = (1 << Self::PAGES_BITS) - 1;

    /// Of one frame. Frame numbers have at most 40 bits on x86 (52-bit physical addresses).
    #[inline]
    const fn of(pfn: Pfn) -> Self {
        Self((pfn.raw() << Self::PAGES_BITS) | 1)
    }

    /// A run as [`coalesce`] leaves it in memory.
    #[inline]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The frames as memory.
    #[inline]
    pub fn extent(self) -> Extent {
        // 48 bits of frame number, 16 of their count: neither shift to the left loses any.
        let pages = PageCount::from(self.0 as u16);
        Extent {
            phys: PhysAddr::new((self.0 >> Self::PAGES_BITS) << siov_types::PAGE_SHIFT),
            len: pages.bytes(),
        }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.extent())
    }
}

/// Replaces page pointers at the front of `slots` by the runs they make up; how many runs there
/// are.
///
/// `frame` gives a page's frame number; the structures of pages that follow each other are `stride`
/// bytes apart. Pages are compared one by one, because those of a folio need not be mapped side by
/// side. `slots` has at most [`Run::MAX_PAGES`] elements.
#[inline]
pub fn coalesce(slots: &mut [u64], stride: u64, frame: impl Fn(u64) -> Pfn) -> usize {
    let Some(first) = slots.first().copied() else {
        return 0;
    };
    let mut open = Run::of(frame(first));
    let mut last = first;
    let mut runs = 0usize;
    for index in 1..slots.len() {
        // Runs overwrite pages that have been read: `runs` stays below `index`.
        let Some(page) = slots.get(index).copied() else {
            break;
        };
        // A distance, which is large and not negative where a page lies below the last one.
        if page.wrapping_sub(last) == stride {
            open = Run(open.0 + 1);
        } else {
            if let Some(slot) = slots.get_mut(runs) {
                *slot = open.0;
            }
            runs += 1;
            open = Run::of(frame(page));
        }
        last = page;
    }
    if let Some(slot) = slots.get_mut(runs) {
        *slot = open.0;
    }
    runs + 1
}

/// How far apart the places are at which a mapping's frames stop following each other: each is a
/// multiple of `1 << shift`, as an IOVA. Within a block of that size and alignment frames are
/// contiguous, so one lookup finds all of them, and a mapping has to remember one byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Granule(u8);

impl Default for Granule {
    /// Of a mapping in one piece.
    fn default() -> Self {
        Self(63)
    }
}

impl Granule {
    /// Notes that the frame at `iova` does not follow the one before it. A multiple of 4 KiB.
    #[inline]
    pub fn note_break(&mut self, iova: Iova) {
        self.0 = self.0.min(iova.raw().trailing_zeros() as u8);
    }

    /// log2 of the block size in bytes.
    #[inline]
    pub const fn shift(self) -> u32 {
        self.0 as u32
    }

    /// The last byte of the block of `iova`.
    #[inline]
    pub const fn last_of_block(self, iova: Iova) -> Iova {
        Iova::new(iova.raw() | !(u64::MAX << (self.0 & 63)))
    }
}

/// Physical memory in one piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extent {
    /// Physical address, a multiple of the page size.
    pub phys: PhysAddr,
    /// Bytes, a multiple of the page size.
    pub len: u64,
}

impl Extent {
    /// No memory. Nothing that lies in one piece with it begins a page.
    pub const NONE: Self = Self {
        phys: PhysAddr::new(1),
        len: 0,
    };

    /// `pages` frames from `pfn` on.
    #[inline]
    pub const fn new(pfn: Pfn, pages: PageCount) -> Self {
        Self {
            phys: pfn.address(),
            len: pages.bytes(),
        }
    }

    /// The first frame.
    #[inline]
    pub const fn pfn(self) -> Pfn {
        Pfn::of(self.phys)
    }

    /// Frames.
    #[inline]
    pub const fn pages(self) -> PageCount {
        PageCount::in_bytes(self.len)
    }

    /// Whether there is no memory.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Whether `next` begins where this ends.
    #[inline]
    pub const fn is_followed_by(self, next: Self) -> bool {
        // A distance, which is large and not negative where `next` lies below.
        next.phys.raw().wrapping_sub(self.phys.raw()) == self.len
    }

    /// Adds memory if it begins where this ends; whether it does.
    #[inline]
    pub fn grow(&mut self, next: Self) -> bool {
        if !self.is_followed_by(next) {
            return false;
        }
        let Some(len) = self.len.checked_add(next.len) else {
            return false;
        };
        self.len = len;
        true
    }
}

/// Extents in the order of their IOVA, and room for a number of them.
#[derive(Debug)]
pub struct Extents<'a> {
    room: &'a mut [Extent],
    used: usize,
    bytes: u64,
}

impl<'a> Extents<'a> {
    /// None yet, and `room` for some.
    pub fn new(room: &'a mut [Extent]) -> Self {
        Self {
            room,
            used: 0,
            bytes: 0,
        }
    }

    /// Adds an extent after all others. False when there is no room for one that is not empty.
    #[inline]
    pub fn push(&mut self, extent: Extent) -> bool {
        if extent.is_empty() {
            return true;
        }
        let Some(slot) = self.room.get_mut(self.used) else {
            return false;
        };
        *slot = extent;
        // There is a slot at the index before.
        self.used = self.used.wrapping_add(1);
        // All are parts of one area.
        self.bytes = self.bytes.wrapping_add(extent.len);
        true
    }

    /// Bytes of all extents.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The extents.
    pub fn as_slice(&self) -> &[Extent] {
        self.room.get(..self.used).unwrap_or(&[])
    }

    /// Drops all extents.
    pub fn clear(&mut self) {
        self.used = 0;
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use crate::proptest_config::cases;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Frames as the kernel allocates them: pieces of some length.
    fn frames() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec((0u64..64, 1u64..9), 1..12).prop_map(|pieces| {
            pieces
                .iter()
                .flat_map(|(first, len)| *first..first + len)
                .collect()
        })
    }

    fn pfn(raw: u64) -> Pfn {
        Pfn::new(raw).unwrap()
    }

    /// First frame and number of frames.
    fn parts(extent: Extent) -> (u64, u64) {
        (extent.pfn().raw(), extent.pages().raw())
    }

    /// The same, the slow way.
    fn naive(frames: &[u64]) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for frame in frames {
            match runs.last_mut() {
                Some((first, len)) if *first + *len == *frame => *len += 1,
                _ => runs.push((*frame, 1)),
            }
        }
        runs
    }

    proptest! {
        #![proptest_config(cases(512))]

        #[test]
        fn coalescing_keeps_all_frames(frames in frames()) {
            // Page pointers as the kernel has them: 64 bytes a page from some base.
            let mut slots: Vec<u64> = frames.iter().map(|f| 0xffff_ea00_0000_0000 + f * 64).collect();
            let runs = coalesce(&mut slots, 64, |page| pfn((page - 0xffff_ea00_0000_0000) / 64));
            let found: Vec<_> = slots[..runs]
                .iter()
                .map(|raw| Run::from_raw(*raw))
                .map(|run| parts(run.extent()))
                .collect();
            prop_assert_eq!(found, naive(&frames));
        }
    }

    #[test]
    fn the_largest_frame_fits() {
        let mut slots = [(1 << 40) - 2, (1 << 40) - 1];
        assert_eq!(coalesce(&mut slots, 1, pfn), 1);
        let run = Run::from_raw(slots[0]);
        assert_eq!(parts(run.extent()), ((1 << 40) - 2, 2));
        assert_eq!(coalesce(&mut [], 1, pfn), 0);
    }

    #[test]
    fn blocks() {
        let last = |granule: Granule, iova| granule.last_of_block(Iova::new(iova)).raw();
        let mut granule = Granule::default();
        assert_eq!(last(granule, 0x1000), u64::MAX >> 1);
        assert_eq!(last(granule, !0xfff), u64::MAX);
        granule.note_break(Iova::new(0x60_0000));
        assert_eq!(granule.shift(), 21);
        assert_eq!(last(granule, 0x1f_f000), 0x1f_ffff);
        assert_eq!(last(granule, 0x20_0000), 0x3f_ffff);
    }

    #[test]
    fn extents_grow_at_their_end_only() {
        let piece = |phys, len| Extent {
            phys: PhysAddr::new(phys),
            len,
        };
        let mut extent = piece(0x1000, 0x1000);
        assert!(!extent.grow(piece(0, 0x1000)));
        assert!(!extent.grow(piece(0x3000, 0x1000)));
        assert!(extent.grow(piece(0x2000, 0x2000)));
        assert_eq!(extent, piece(0x1000, 0x3000));
        let mut none = Extent::NONE;
        assert!(!none.grow(piece(0, 0x1000)) && !none.grow(piece(!0xfff, 0x1000)));
        assert!(none.is_empty());
    }

    #[test]
    fn a_list_has_room_for_so_many() {
        let mut room = [Extent::default(); 1];
        let mut extents = Extents::new(&mut room);
        let piece = |pfn, pages: u16| Extent::new(super::tests::pfn(pfn), pages.into());
        assert!(extents.push(Extent::NONE));
        assert!(extents.push(piece(1, 2)));
        assert!(extents.push(Extent::NONE));
        assert!(!extents.push(piece(5, 1)));
        assert_eq!(extents.as_slice(), [piece(1, 2)]);
        assert_eq!(extents.bytes(), 0x2000);
        extents.clear();
        assert!(extents.as_slice().is_empty());
    }
}

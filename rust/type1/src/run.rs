// SPDX-License-Identifier: GPL-2.0

//! Page frames side by side: what one call of the IOMMU API can map, and one call can unpin.

use core::fmt;
use siov_types::PAGE_SHIFT;

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
    const fn of(pfn: u64) -> Self {
        Self((pfn << Self::PAGES_BITS) | 1)
    }

    /// A run as [`coalesce`] leaves it in memory.
    #[inline]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Number of the first frame.
    #[inline]
    pub const fn pfn(self) -> u64 {
        self.0 >> Self::PAGES_BITS
    }

    /// Frames.
    #[inline]
    pub const fn pages(self) -> u64 {
        self.0 & Self::MAX_PAGES
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}+{}", self.pfn(), self.pages())
    }
}

/// Replaces page pointers at the front of `slots` by the runs they make up; how many runs there are.
///
/// `frame` gives a page's frame number. Frames are compared one by one, because the pages of a folio
/// need not be mapped side by side. `slots` has at most [`Run::MAX_PAGES`] elements.
#[inline]
pub fn coalesce(slots: &mut [u64], frame: impl Fn(u64) -> u64) -> usize {
    let Some(first) = slots.first() else {
        return 0;
    };
    let mut open = Run::of(frame(*first));
    let mut next = open.pfn().wrapping_add(1);
    let mut runs = 0usize;
    for index in 1..slots.len() {
        // Runs overwrite pages that have been read: `runs` stays below `index`.
        let Some(page) = slots.get(index).copied() else {
            break;
        };
        let pfn = frame(page);
        if pfn == next {
            open = Run(open.0.wrapping_add(1));
        } else {
            if let Some(slot) = slots.get_mut(runs) {
                *slot = open.0;
            }
            runs = runs.wrapping_add(1);
            open = Run::of(pfn);
        }
        next = pfn.wrapping_add(1);
    }
    if let Some(slot) = slots.get_mut(runs) {
        *slot = open.0;
    }
    runs.wrapping_add(1)
}

/// How far apart the places are at which a mapping's frames stop following each other: each is a
/// multiple of `1 << shift`, as an IOVA. Within a block of that size and alignment frames are
/// contiguous, so one lookup tells all of them, and one byte per mapping is all there is to remember.
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
    pub fn note_break(&mut self, iova: u64) {
        self.0 = self.0.min(iova.trailing_zeros() as u8);
    }

    /// log2 of the block size in bytes.
    #[inline]
    pub const fn shift(self) -> u32 {
        self.0 as u32
    }

    /// Bytes from `iova` to the end of its block, at most `limit`, which is not 0.
    #[inline]
    pub const fn rest_of_block(self, iova: u64, limit: u64) -> u64 {
        let mask = (1u64 << (self.0 & 63)).wrapping_sub(1);
        let rest = mask.wrapping_sub(iova & mask);
        // `rest` counts to the last byte, so that a block of the whole address space has no overflow.
        if rest < limit {
            rest.wrapping_add(1)
        } else {
            limit
        }
    }
}

/// Physical memory in one piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Extent {
    /// Physical address.
    pub phys: u64,
    /// Bytes, a multiple of the page size.
    pub len: u64,
}

impl Extent {
    /// Number of the first frame.
    #[inline]
    pub const fn pfn(self) -> u64 {
        self.phys >> PAGE_SHIFT
    }

    /// Frames.
    #[inline]
    pub const fn pages(self) -> u64 {
        self.len >> PAGE_SHIFT
    }
}

/// Extents in the order of their IOVA, merged as they come.
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

    /// Adds memory behind all that there is, or nothing. False when it starts another extent and there is
    /// no room for one.
    #[inline]
    pub fn push(&mut self, piece: Extent) -> bool {
        if piece.len == 0 {
            return true;
        }
        let last = self.used.checked_sub(1).and_then(|i| self.room.get_mut(i));
        if let Some(last) = last {
            if last.phys.wrapping_add(last.len) == piece.phys {
                last.len = last.len.wrapping_add(piece.len);
                self.bytes = self.bytes.wrapping_add(piece.len);
                return true;
            }
        }
        let Some(slot) = self.room.get_mut(self.used) else {
            return false;
        };
        *slot = piece;
        self.used = self.used.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(piece.len);
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

    /// Forgets all extents.
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
    use std::vec;
    use std::vec::Vec;

    /// Frames as memory is handed out: pieces of some length.
    fn frames() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec((0u64..64, 1u64..9), 1..12).prop_map(|pieces| {
            pieces
                .iter()
                .flat_map(|(first, len)| *first..first + len)
                .collect()
        })
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
            let runs = coalesce(&mut slots, |page| (page - 0xffff_ea00_0000_0000) / 64);
            let found: Vec<_> = slots[..runs]
                .iter()
                .map(|raw| Run::from_raw(*raw))
                .map(|run| (run.pfn(), run.pages()))
                .collect();
            prop_assert_eq!(found, naive(&frames));
        }

        #[test]
        fn one_lookup_per_block_finds_every_frame(frames in frames(), start in 0u64..64) {
            let iova = |page: usize| (start + page as u64) << 12;
            let mut granule = Granule::default();
            for page in 1..frames.len() {
                if frames[page] != frames[page - 1] + 1 {
                    granule.note_break(iova(page));
                }
            }
            let mut room = vec![Extent::default(); 128];
            let mut extents = Extents::new(&mut room);
            let (mut page, end) = (0, frames.len());
            while page < end {
                let limit = ((end - page) as u64) << 12;
                let len = granule.rest_of_block(iova(page), limit);
                prop_assert!(len > 0 && len <= limit && len % 4096 == 0);
                let piece = Extent { phys: frames[page] << 12, len };
                prop_assert!(extents.push(piece));
                page += (len >> 12) as usize;
            }
            let found: Vec<_> = extents.as_slice().iter().map(|e| (e.pfn(), e.pages())).collect();
            prop_assert_eq!(found, naive(&frames));
            prop_assert_eq!(extents.bytes(), (end as u64) << 12);
        }
    }

    #[test]
    fn the_largest_frame_fits() {
        let mut slots = [(1 << 40) - 2, (1 << 40) - 1];
        assert_eq!(coalesce(&mut slots, |page| page), 1);
        let run = Run::from_raw(slots[0]);
        assert_eq!((run.pfn(), run.pages()), ((1 << 40) - 2, 2));
        assert_eq!(coalesce(&mut [], |page| page), 0);
    }

    #[test]
    fn blocks() {
        let mut granule = Granule::default();
        assert_eq!(granule.rest_of_block(0x1000, 0x5000), 0x5000);
        assert_eq!(granule.rest_of_block(!0xfff, 0x1000), 0x1000);
        granule.note_break(0x60_0000);
        assert_eq!(granule.shift(), 21);
        assert_eq!(granule.rest_of_block(0x1f_f000, 0x100_0000), 0x1000);
        assert_eq!(granule.rest_of_block(0x20_0000, 0x100_0000), 0x20_0000);
        assert_eq!(granule.rest_of_block(0x20_0000, 0x3000), 0x3000);
    }

    #[test]
    fn a_full_list_still_grows_at_its_end() {
        let mut room = [Extent::default(); 1];
        let mut extents = Extents::new(&mut room);
        let piece = |phys, len| Extent { phys, len };
        assert!(extents.push(piece(0x1000, 0x1000)));
        assert!(extents.push(piece(0x8000, 0)));
        assert!(!extents.push(piece(0x5000, 0x1000)));
        assert!(extents.push(piece(0x2000, 0x1000)));
        assert_eq!(extents.as_slice(), [piece(0x1000, 0x2000)]);
        assert_eq!(extents.bytes(), 0x2000);
        extents.clear();
        assert!(extents.as_slice().is_empty());
    }
}

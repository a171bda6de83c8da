// SPDX-License-Identifier: GPL-2.0

//! The chain of capabilities that `VFIO_IOMMU_GET_INFO` returns.
//!
//! Each begins with an id, a version and the offset of the next one from the start of the structure
//! that user space gets (`struct vfio_info_cap_header`), on a multiple of eight bytes.

use crate::request::BITMAP_SIZE_MAX;
use crate::uapi::{put, Info};
use siov_types::IovaRange;

const HEADER: usize = 8;
/// `struct vfio_iommu_type1_info_cap_migration`.
const MIGRATION: usize = 32;
/// `struct vfio_iommu_type1_info_dma_avail`, rounded up.
const DMA_AVAIL: usize = 16;
/// `struct vfio_iommu_type1_info_cap_iova_range` without ranges.
const IOVA_RANGE: usize = 16;

const ID_IOVA_RANGE: u16 = 1;
const ID_MIGRATION: u16 = 2;
const ID_DMA_AVAIL: u16 = 3;

/// What the capabilities say.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Supported page sizes, a bit each.
    pub page_sizes: u64,
    /// Mappings that may still be made.
    pub dma_avail: u32,
    /// What may be mapped. Without any, as in a container of emulated devices, the capability is
    /// left out.
    pub windows: &'a [IovaRange],
}

impl Facts<'_> {
    /// Bytes of the whole chain.
    pub const fn len(&self) -> usize {
        let ranges = match self.windows.len() {
            0 => 0,
            n => IOVA_RANGE.saturating_add(n.saturating_mul(16)),
        };
        (MIGRATION + DMA_AVAIL).saturating_add(ranges)
    }

    /// Never: two of the capabilities are always there.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Writes the chain into `out`, which is zeroed and [`Self::len`] bytes long. User space will
    /// find it after the [`Info`].
    pub fn write(&self, out: &mut [u8]) {
        let with_ranges = !self.windows.is_empty();

        header(out, 0, ID_MIGRATION, MIGRATION);
        let smallest = 1u64 << crate::granule_shift(self.page_sizes);
        put(out, HEADER + 8, &smallest.to_ne_bytes());
        put(out, HEADER + 16, &BITMAP_SIZE_MAX.to_ne_bytes());

        let at = MIGRATION;
        let next = if with_ranges { at + DMA_AVAIL } else { 0 };
        header(out, at, ID_DMA_AVAIL, next);
        put(out, at + HEADER, &self.dma_avail.to_ne_bytes());

        if with_ranges {
            let at = at + DMA_AVAIL;
            header(out, at, ID_IOVA_RANGE, 0);
            let count = self.windows.len() as u32;
            put(out, at + HEADER, &count.to_ne_bytes());
            for (index, window) in self.windows.iter().enumerate() {
                let at = at
                    .saturating_add(IOVA_RANGE)
                    .saturating_add(index.saturating_mul(16));
                put(out, at, &window.first().raw().to_ne_bytes());
                put(
                    out,
                    at.saturating_add(8),
                    &window.last().raw().to_ne_bytes(),
                );
            }
        }
    }
}

/// `next` counts from the first capability, 0 for none; user space counts from the [`Info`].
fn header(out: &mut [u8], at: usize, id: u16, next: usize) {
    let next = if next == 0 {
        0
    } else {
        next.saturating_add(Info::SIZE) as u32
    };
    put(out, at, &id.to_ne_bytes());
    put(out, at.saturating_add(2), &1u16.to_ne_bytes());
    put(out, at.saturating_add(4), &next.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use siov_types::Iova;
    use std::vec;
    use std::vec::Vec;

    /// Walks the chain as user space does, from the start of the `Info`: id, version and body.
    fn walk(facts: &Facts<'_>) -> Vec<(u16, u16, Vec<u8>)> {
        let mut bytes = vec![0xee; Info::SIZE];
        let mut caps = vec![0; facts.len()];
        facts.write(&mut caps);
        bytes.extend(caps);
        let (mut at, mut found) = (Info::SIZE, Vec::new());
        while at != 0 {
            let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
            let next = u32::from_ne_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
            assert_eq!(at % 8, 0);
            let end = if next == 0 { bytes.len() } else { next };
            found.push((half(at), half(at + 2), bytes[at + 8..end].to_vec()));
            at = next;
        }
        found
    }

    #[test]
    fn chain_with_and_without_ranges() {
        let windows = [
            IovaRange::new(Iova::new(0), Iova::new(0xfedf_ffff)).unwrap(),
            IovaRange::new(Iova::new(0xfef0_0000), Iova::new(!0)).unwrap(),
        ];
        let mut facts = Facts {
            page_sizes: 0x4020_1000,
            dma_avail: 0xfffe,
            windows: &windows,
        };
        let chain = walk(&facts);
        let ids: Vec<_> = chain
            .iter()
            .map(|(id, version, _)| (*id, *version))
            .collect();
        assert_eq!(ids, [(2, 1), (3, 1), (1, 1)]);
        let word = |body: &[u8], at| u64::from_ne_bytes(body[at..at + 8].try_into().unwrap());
        assert_eq!(word(&chain[0].2, 0), 0);
        assert_eq!(word(&chain[0].2, 8), 0x1000);
        assert_eq!(word(&chain[0].2, 16), 1 << 28);
        assert_eq!(word(&chain[1].2, 0), 0xfffe);
        assert_eq!(word(&chain[2].2, 0), 2);
        assert_eq!(word(&chain[2].2, 16), 0xfedf_ffff);
        assert_eq!(word(&chain[2].2, 24), 0xfef0_0000);
        assert_eq!(word(&chain[2].2, 32), !0);
        assert_eq!(chain[2].2.len(), 40);

        facts.windows = &[];
        let ids: Vec<_> = walk(&facts).iter().map(|(id, ..)| *id).collect();
        assert_eq!(ids, [2, 3]);
    }
}

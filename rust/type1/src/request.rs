// SPDX-License-Identifier: GPL-2.0

//! Which requests are well formed. The order of the checks is part of the interface: it decides
//! which error a request with several mistakes gets.

use crate::{bitmap, uapi, Prot, Refusal};
use siov_types::{Iova, IovaRange};

/// Most pages that a dirty bitmap covers (`DIRTY_BITMAP_PAGES_MAX`): counts of bits are C's `int`.
pub const BITMAP_PAGES_MAX: u64 = i32::MAX as u64;

/// Bytes of a bitmap of `pages` bits: whole words of 64 bits (`DIRTY_BITMAP_BYTES`).
pub const fn bitmap_bytes(pages: u64) -> u64 {
    // At most 2^58 words.
    bitmap::words(pages) * 8
}

/// Most bytes of a bitmap (`DIRTY_BITMAP_SIZE_MAX`).
pub const BITMAP_SIZE_MAX: u64 = bitmap_bytes(BITMAP_PAGES_MAX);

/// Bytes from `start` on, with the C driver's errors for none and for too many.
fn range(start: Iova, size: u64) -> Result<IovaRange, Refusal> {
    if size == 0 {
        return Err(Refusal::Invalid);
    }
    IovaRange::from_len(start, size).ok_or(Refusal::Overflow)
}

fn require(condition: bool) -> Result<(), Refusal> {
    if condition {
        Ok(())
    } else {
        Err(Refusal::Invalid)
    }
}

fn is_multiple(value: u64, shift: u32) -> bool {
    value & !(u64::MAX << (shift & 63)) == 0
}

/// What `VFIO_IOMMU_MAP_DMA` is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Map {
    /// Where devices find it.
    pub range: IovaRange,
    /// Process virtual address of the first byte.
    pub vaddr: u64,
    /// Bytes.
    pub size: u64,
    /// What to do with it.
    pub kind: MapKind,
}

/// The two uses of `VFIO_IOMMU_MAP_DMA`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapKind {
    /// Map memory, for reading, writing or both.
    Memory(Prot),
    /// Give a mapping whose process address is invalid a new one.
    UpdateVaddr,
}

impl Map {
    /// Checks all that does not depend on the container.
    ///
    /// # Errors
    ///
    /// As the C driver's `vfio_iommu_type1_map_dma()` and the first part of `vfio_dma_do_map()`.
    pub fn parse(raw: &uapi::Map) -> Result<Self, Refusal> {
        let known = uapi::MAP_READ | uapi::MAP_WRITE | uapi::MAP_VADDR;
        require(raw.argsz as usize >= uapi::Map::SIZE && raw.flags & !known == 0)?;
        let range = range(raw.iova, raw.size)?;
        // `size` is not 0 here.
        if raw.vaddr.checked_add(raw.size - 1).is_none() {
            return Err(Refusal::Overflow);
        }
        let (read, write) = (
            raw.flags & uapi::MAP_READ != 0,
            raw.flags & uapi::MAP_WRITE != 0,
        );
        let update = raw.flags & uapi::MAP_VADDR != 0;
        require((read || write) != update)?;
        Ok(Self {
            range,
            vaddr: raw.vaddr,
            size: raw.size,
            kind: if update {
                MapKind::UpdateVaddr
            } else {
                MapKind::Memory(Prot::new(read, write))
            },
        })
    }

    /// Whether addresses and size are multiples of the container's smallest page.
    pub fn is_aligned(&self, shift: u32) -> bool {
        is_multiple(self.size | self.range.first().raw() | self.vaddr, shift)
    }
}

/// Checks flags and structure sizes of `VFIO_IOMMU_UNMAP_DMA`; true when a [`uapi::Bitmap`]
/// follows.
///
/// # Errors
///
/// As the C driver's `vfio_iommu_type1_unmap_dma()`.
pub fn unmap_has_bitmap(raw: &uapi::Unmap) -> Result<bool, Refusal> {
    let known = uapi::UNMAP_GET_DIRTY | uapi::UNMAP_VADDR | uapi::UNMAP_ALL;
    require(raw.argsz as usize >= uapi::Unmap::SIZE && raw.flags & !known == 0)?;
    let dirty = raw.flags & uapi::UNMAP_GET_DIRTY != 0;
    if dirty {
        require(raw.flags & (uapi::UNMAP_ALL | uapi::UNMAP_VADDR) == 0)?;
        require(raw.argsz as usize >= uapi::Unmap::SIZE + uapi::Bitmap::SIZE)?;
    }
    Ok(dirty)
}

/// The range that `VFIO_IOMMU_UNMAP_DMA` covers, in a container whose smallest page is `1 <<
/// shift`.
///
/// # Errors
///
/// As the C driver's `vfio_dma_do_unmap()`.
pub fn unmap_range(raw: &uapi::Unmap, shift: u32) -> Result<IovaRange, Refusal> {
    require(is_multiple(raw.iova.raw(), shift))?;
    if raw.flags & uapi::UNMAP_ALL != 0 {
        require(raw.iova == Iova::new(0) && raw.size == 0)?;
        return Ok(IovaRange::ALL);
    }
    require(is_multiple(raw.size, shift))?;
    range(raw.iova, raw.size)
}

/// Whether a user's bitmap is large enough for `bytes` of IOVA, at a bit for each of its own pages,
/// and not too large for us.
///
/// # Errors
///
/// As the C driver's `verify_bitmap_size()`.
pub fn check_bitmap(bitmap: &uapi::Bitmap, bytes: u64) -> Result<(), Refusal> {
    // The processor shifts by the lower six bits of the count, also for a page size of 0.
    let pages = bytes >> crate::granule_shift(bitmap.pgsize);
    require(
        pages != 0
            && bitmap.size != 0
            && bitmap.size <= BITMAP_SIZE_MAX
            && bitmap.size >= bitmap_bytes(pages),
    )
}

/// What `VFIO_IOMMU_DIRTY_PAGES` is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dirty {
    /// Begin to track.
    Start,
    /// End it.
    Stop,
    /// Copy the bitmap of the range that follows.
    Get,
}

impl Dirty {
    /// Checks the structure in front.
    ///
    /// # Errors
    ///
    /// As the C driver's `vfio_iommu_type1_dirty_pages()`.
    pub fn parse(raw: &uapi::Dirty) -> Result<Self, Refusal> {
        require(raw.argsz as usize >= uapi::Dirty::SIZE)?;
        match raw.flags {
            uapi::DIRTY_START => Ok(Self::Start),
            uapi::DIRTY_STOP => Ok(Self::Stop),
            uapi::DIRTY_GET_BITMAP => {
                require(raw.argsz as usize >= uapi::Dirty::SIZE + uapi::DirtyRange::SIZE)?;
                Ok(Self::Get)
            }
            _ => Err(Refusal::Invalid),
        }
    }
}

/// The range whose bitmap is asked for.
///
/// # Errors
///
/// [`Refusal::Invalid`] for no bytes, [`Refusal::Overflow`] past the last address.
pub fn dirty_range(raw: &uapi::DirtyRange) -> Result<IovaRange, Refusal> {
    range(raw.iova, raw.size)
}

/// Checks the range against the container's smallest page, which is what a bit stands for.
///
/// # Errors
///
/// [`Refusal::Invalid`] for another page size or a misaligned range.
pub fn check_dirty_alignment(raw: &uapi::DirtyRange, shift: u32) -> Result<(), Refusal> {
    require(raw.pgsize == 1u64 << (shift & 63) && is_multiple(raw.iova.raw() | raw.size, shift))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uapi::*;

    fn map(flags: u32, vaddr: u64, iova: u64, size: u64) -> Result<super::Map, Refusal> {
        super::Map::parse(&uapi::Map {
            argsz: 32,
            flags,
            vaddr,
            iova: Iova::new(iova),
            size,
        })
    }

    #[test]
    fn map_flags() {
        let fine = map(MAP_READ, 0x1000, 0x2000, 0x1000).map(|m| m.kind);
        assert_eq!(fine, Ok(MapKind::Memory(Prot::READ)));
        let update = map(MAP_VADDR, 0x1000, 0x2000, 0x1000).map(|m| m.kind);
        assert_eq!(update, Ok(MapKind::UpdateVaddr));
        for flags in [
            0,
            MAP_VADDR | MAP_READ,
            MAP_VADDR | MAP_WRITE,
            8,
            9,
            1 << 31,
        ] {
            assert_eq!(
                map(flags, 0, 0, 0x1000),
                Err(Refusal::Invalid),
                "{flags:#x}"
            );
        }
    }

    #[test]
    fn map_sizes() {
        assert_eq!(map(MAP_READ, 0, 0, 0), Err(Refusal::Invalid));
        assert_eq!(map(MAP_READ, 0, !0xfff, 0x2000), Err(Refusal::Overflow));
        assert_eq!(map(MAP_READ, !0xfff, 0, 0x2000), Err(Refusal::Overflow));
        assert!(map(MAP_READ, !0xfff, !0xfff, 0x1000).is_ok());
        // An overflow takes precedence over contradicting flags.
        assert_eq!(map(0, !0xfff, 0, 0x2000), Err(Refusal::Overflow));
        // And unknown flags before that.
        assert_eq!(map(8, !0xfff, 0, 0x2000), Err(Refusal::Invalid));
        let short = uapi::Map {
            argsz: 31,
            flags: MAP_READ,
            size: 0x1000,
            ..Default::default()
        };
        assert_eq!(super::Map::parse(&short), Err(Refusal::Invalid));
        let odd = map(MAP_READ, 0x1000, 0x2000, 0x1800);
        assert_eq!(odd.map(|m| m.is_aligned(12)), Ok(false));
    }

    #[test]
    fn unmap_flags() {
        let unmap = |argsz, flags| {
            unmap_has_bitmap(&uapi::Unmap {
                argsz,
                flags,
                ..Default::default()
            })
        };
        assert_eq!(unmap(24, 0), Ok(false));
        assert_eq!(unmap(23, 0), Err(Refusal::Invalid));
        assert_eq!(unmap(24, UNMAP_ALL | UNMAP_VADDR), Ok(false));
        assert_eq!(unmap(24, UNMAP_GET_DIRTY), Err(Refusal::Invalid));
        assert_eq!(unmap(47, UNMAP_GET_DIRTY), Err(Refusal::Invalid));
        assert_eq!(unmap(48, UNMAP_GET_DIRTY), Ok(true));
        for flags in [
            UNMAP_GET_DIRTY | UNMAP_ALL,
            UNMAP_GET_DIRTY | UNMAP_VADDR,
            8,
        ] {
            assert_eq!(unmap(48, flags), Err(Refusal::Invalid));
        }
    }

    #[test]
    fn unmap_ranges() {
        let unmap = |flags, iova, size| {
            unmap_range(
                &uapi::Unmap {
                    argsz: 24,
                    flags,
                    iova: Iova::new(iova),
                    size,
                },
                12,
            )
        };
        assert_eq!(unmap(UNMAP_ALL, 0, 0), Ok(IovaRange::ALL));
        assert_eq!(unmap(UNMAP_ALL, 0x1000, 0), Err(Refusal::Invalid));
        assert_eq!(unmap(UNMAP_ALL, 0, 0x1000), Err(Refusal::Invalid));
        assert_eq!(unmap(0, 0x800, 0x1000), Err(Refusal::Invalid));
        assert_eq!(unmap(0, 0x1000, 0x800), Err(Refusal::Invalid));
        assert_eq!(unmap(0, 0x1000, 0), Err(Refusal::Invalid));
        assert_eq!(unmap(0, !0xfff, 0x2000), Err(Refusal::Overflow));
        assert!(unmap(0, !0xfff, 0x1000).is_ok());
    }

    #[test]
    fn bitmap_sizes() {
        assert_eq!(BITMAP_SIZE_MAX, 1 << 28);
        let check = |pgsize, size, bytes| {
            check_bitmap(
                &uapi::Bitmap {
                    pgsize,
                    size,
                    data: 0,
                },
                bytes,
            )
        };
        assert_eq!(check(0x1000, 8, 64 << 12), Ok(()));
        assert_eq!(check(0x1000, 8, 65 << 12), Err(Refusal::Invalid));
        assert_eq!(check(0x1000, 7, 1 << 12), Err(Refusal::Invalid));
        assert_eq!(check(0x1000, 0, 1 << 12), Err(Refusal::Invalid));
        assert_eq!(check(0x1000, 8, 0x800), Err(Refusal::Invalid));
        assert_eq!(check(0x1000, BITMAP_SIZE_MAX, 1 << 12), Ok(()));
        assert_eq!(
            check(0x1000, BITMAP_SIZE_MAX + 1, 1 << 12),
            Err(Refusal::Invalid)
        );
        assert_eq!(check(0, 8, 64), Ok(()));
    }

    #[test]
    fn dirty_flags() {
        let parse = |argsz, flags| super::Dirty::parse(&uapi::Dirty { argsz, flags });
        assert_eq!(parse(8, DIRTY_START), Ok(super::Dirty::Start));
        assert_eq!(parse(8, DIRTY_STOP), Ok(super::Dirty::Stop));
        assert_eq!(parse(7, DIRTY_STOP), Err(Refusal::Invalid));
        assert_eq!(parse(47, DIRTY_GET_BITMAP), Err(Refusal::Invalid));
        assert_eq!(parse(48, DIRTY_GET_BITMAP), Ok(super::Dirty::Get));
        for flags in [0, 3, 5, 6, 7, 8] {
            assert_eq!(parse(48, flags), Err(Refusal::Invalid));
        }
    }
}

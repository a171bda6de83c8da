// SPDX-License-Identifier: GPL-2.0

//! Compares the layouts that `siov_type1::uapi` takes bytes apart by with the kernel's header.

use core::mem::{offset_of, size_of};
use linux::bindings as c;
use siov_type1::uapi;
use static_assertions::const_assert_eq;

const_assert_eq!(size_of::<c::vfio_iommu_type1_dma_map>(), uapi::Map::SIZE);
const_assert_eq!(offset_of!(c::vfio_iommu_type1_dma_map, flags), 4);
const_assert_eq!(offset_of!(c::vfio_iommu_type1_dma_map, vaddr), 8);
const_assert_eq!(offset_of!(c::vfio_iommu_type1_dma_map, iova), 16);
const_assert_eq!(offset_of!(c::vfio_iommu_type1_dma_map, size), 24);
const_assert_eq!(c::VFIO_DMA_MAP_FLAG_READ, uapi::MAP_READ);
const_assert_eq!(c::VFIO_DMA_MAP_FLAG_WRITE, uapi::MAP_WRITE);
const_assert_eq!(c::VFIO_DMA_MAP_FLAG_VADDR, uapi::MAP_VADDR);

const_assert_eq!(
    size_of::<c::vfio_iommu_type1_dma_unmap>(),
    uapi::Unmap::SIZE
);
const_assert_eq!(offset_of!(c::vfio_iommu_type1_dma_unmap, iova), 8);
const_assert_eq!(offset_of!(c::vfio_iommu_type1_dma_unmap, size), 16);
const_assert_eq!(
    c::VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
    uapi::UNMAP_GET_DIRTY
);
const_assert_eq!(c::VFIO_DMA_UNMAP_FLAG_ALL, uapi::UNMAP_ALL);
const_assert_eq!(c::VFIO_DMA_UNMAP_FLAG_VADDR, uapi::UNMAP_VADDR);

const_assert_eq!(size_of::<c::vfio_bitmap>(), uapi::Bitmap::SIZE);
const_assert_eq!(offset_of!(c::vfio_bitmap, size), 8);
const_assert_eq!(offset_of!(c::vfio_bitmap, data), 16);

const_assert_eq!(
    size_of::<c::vfio_iommu_type1_dirty_bitmap>(),
    uapi::Dirty::SIZE
);
const_assert_eq!(
    size_of::<c::vfio_iommu_type1_dirty_bitmap_get>(),
    uapi::DirtyRange::SIZE
);
const_assert_eq!(offset_of!(c::vfio_iommu_type1_dirty_bitmap_get, bitmap), 16);
const_assert_eq!(c::VFIO_IOMMU_DIRTY_PAGES_FLAG_START, uapi::DIRTY_START);
const_assert_eq!(c::VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, uapi::DIRTY_STOP);
const_assert_eq!(
    c::VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
    uapi::DIRTY_GET_BITMAP
);

const_assert_eq!(size_of::<c::vfio_iommu_type1_info>(), uapi::Info::SIZE);
const_assert_eq!(offset_of!(c::vfio_iommu_type1_info, iova_pgsizes), 8);
const_assert_eq!(offset_of!(c::vfio_iommu_type1_info, cap_offset), 16);
const_assert_eq!(c::VFIO_IOMMU_INFO_PGSIZES, uapi::Info::PGSIZES);
const_assert_eq!(c::VFIO_IOMMU_INFO_CAPS, uapi::Info::CAPS);

const_assert_eq!(size_of::<c::vfio_info_cap_header>(), 8);
const_assert_eq!(
    size_of::<c::vfio_iommu_type1_info_cap_iova_range>(),
    16 // without ranges
);
const_assert_eq!(size_of::<c::vfio_iova_range>(), 16);
const_assert_eq!(size_of::<c::vfio_iommu_type1_info_cap_migration>(), 32);
const_assert_eq!(size_of::<c::vfio_iommu_type1_info_dma_avail>(), 12);

// What a mapping costs: with links and range in the tree's node 96 bytes, as much as the C
// driver's.
const_assert_eq!(
    size_of::<super::ioas::Area<crate::space::mapping::Mapping>>(),
    56
);

// An element of an array of page pointers becomes a run.
const_assert_eq!(size_of::<*mut c::page>(), size_of::<u64>());

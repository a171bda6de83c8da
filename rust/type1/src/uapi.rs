// SPDX-License-Identifier: GPL-2.0

//! The structures that type1 requests carry, as bytes (`include/uapi/linux/vfio.h`).
//!
//! User space hands over bytes, so they are taken apart here, and the layout is compared with the
//! kernel's at compile time by the crate that has the bindings.

use siov_types::Iova;

/// `VFIO_DMA_MAP_FLAG_READ`: the device may read.
pub const MAP_READ: u32 = 1 << 0;
/// `VFIO_DMA_MAP_FLAG_WRITE`: the device may write.
pub const MAP_WRITE: u32 = 1 << 1;
/// `VFIO_DMA_MAP_FLAG_VADDR`: a new process address for an invalidated mapping.
pub const MAP_VADDR: u32 = 1 << 2;

/// `VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP`: copy the bitmap of what is unmapped.
pub const UNMAP_GET_DIRTY: u32 = 1 << 0;
/// `VFIO_DMA_UNMAP_FLAG_ALL`: everything; address and size are 0.
pub const UNMAP_ALL: u32 = 1 << 1;
/// `VFIO_DMA_UNMAP_FLAG_VADDR`: keep the mapping, invalidate its process address.
pub const UNMAP_VADDR: u32 = 1 << 2;

/// `VFIO_IOMMU_DIRTY_PAGES_FLAG_START`.
pub const DIRTY_START: u32 = 1 << 0;
/// `VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP`.
pub const DIRTY_STOP: u32 = 1 << 1;
/// `VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP`.
pub const DIRTY_GET_BITMAP: u32 = 1 << 2;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut raw = [0; 4];
    if let Some(field) = bytes.get(at..at.saturating_add(4)) {
        raw.copy_from_slice(field);
    }
    u32::from_ne_bytes(raw)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut raw = [0; 8];
    if let Some(field) = bytes.get(at..at.saturating_add(8)) {
        raw.copy_from_slice(field);
    }
    u64::from_ne_bytes(raw)
}

/// Writes `field` at `at`; does nothing where `bytes` is too short for it.
pub(crate) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at.saturating_add(field.len())) {
        // As `copy_from_slice()`, which would panic for lengths that differ: here the compiler need
        // not see that they do not.
        place
            .iter_mut()
            .zip(field)
            .for_each(|(to, from)| *to = *from);
    }
}

macro_rules! structure {
    (
        $(#[$doc:meta])*
        $name:ident, $size:literal {
            $($(#[$field_doc:meta])* $field:ident: $kind:ident @ $at:literal,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)+
        }

        impl $name {
            /// Size in bytes.
            pub const SIZE: usize = $size;

            /// Takes the bytes apart.
            pub fn from_bytes(bytes: &[u8; $size]) -> Self {
                Self { $($field: structure!(@get $kind, bytes, $at),)+ }
            }

            /// The bytes again.
            pub fn to_bytes(self) -> [u8; $size] {
                let mut bytes = [0; $size];
                $(put(&mut bytes, $at, &structure!(@raw $kind, self.$field).to_ne_bytes());)+
                bytes
            }
        }
    };
    (@get u32, $bytes:ident, $at:literal) => { u32_at($bytes, $at) };
    (@get u64, $bytes:ident, $at:literal) => { u64_at($bytes, $at) };
    (@get Iova, $bytes:ident, $at:literal) => { Iova::new(u64_at($bytes, $at)) };
    (@raw Iova, $field:expr) => { $field.raw() };
    (@raw $kind:ident, $field:expr) => { $field };
}

structure! {
    /// `struct vfio_iommu_type1_dma_map`.
    Map, 32 {
        /// Size of the caller's structure.
        argsz: u32 @ 0,
        /// `MAP_*`.
        flags: u32 @ 4,
        /// Process virtual address.
        vaddr: u64 @ 8,
        /// Where devices find it.
        iova: Iova @ 16,
        /// Bytes.
        size: u64 @ 24,
    }
}

structure! {
    /// `struct vfio_iommu_type1_dma_unmap` without the data that may follow.
    Unmap, 24 {
        /// Size of the caller's structure.
        argsz: u32 @ 0,
        /// `UNMAP_*`.
        flags: u32 @ 4,
        /// Where devices find it.
        iova: Iova @ 8,
        /// Bytes; on return those that were unmapped.
        size: u64 @ 16,
    }
}

structure! {
    /// `struct vfio_bitmap`: where a dirty bitmap goes.
    Bitmap, 24 {
        /// Bytes that a bit stands for.
        pgsize: u64 @ 0,
        /// Bytes of the bitmap.
        size: u64 @ 8,
        /// Process address of the bitmap.
        data: u64 @ 16,
    }
}

structure! {
    /// `struct vfio_iommu_type1_dirty_bitmap` without the data that may follow.
    Dirty, 8 {
        /// Size of the caller's structure.
        argsz: u32 @ 0,
        /// `DIRTY_*`.
        flags: u32 @ 4,
    }
}

structure! {
    /// `struct vfio_iommu_type1_dirty_bitmap_get` with its bitmap.
    DirtyRange, 40 {
        /// Where devices find it.
        iova: Iova @ 0,
        /// Bytes.
        size: u64 @ 8,
        /// As [`Bitmap::pgsize`].
        pgsize: u64 @ 16,
        /// As [`Bitmap::size`].
        bitmap_size: u64 @ 24,
        /// As [`Bitmap::data`].
        data: u64 @ 32,
    }
}

impl DirtyRange {
    /// The bitmap alone.
    pub const fn bitmap(self) -> Bitmap {
        Bitmap {
            pgsize: self.pgsize,
            size: self.bitmap_size,
            data: self.data,
        }
    }
}

structure! {
    /// `struct vfio_iommu_type1_info`.
    Info, 24 {
        /// Size of the caller's structure; on return the size that all capabilities need.
        argsz: u32 @ 0,
        /// `VFIO_IOMMU_INFO_*`.
        flags: u32 @ 4,
        /// Supported page sizes, a bit each.
        iova_pgsizes: u64 @ 8,
        /// Where the first capability is, 0 for none.
        cap_offset: u32 @ 16,
        /// Unused.
        pad: u32 @ 20,
    }
}

impl Info {
    /// Bytes that every caller must have room for: up to and with `iova_pgsizes`.
    pub const MIN_SIZE: usize = 16;
    /// `VFIO_IOMMU_INFO_PGSIZES`.
    pub const PGSIZES: u32 = 1 << 0;
    /// `VFIO_IOMMU_INFO_CAPS`.
    pub const CAPS: u32 = 1 << 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_header_has_them() {
        let bytes: [u8; 32] = core::array::from_fn(|i| i as u8);
        let map = Map::from_bytes(&bytes);
        assert_eq!(map.argsz, 0x0302_0100);
        assert_eq!(map.flags, 0x0706_0504);
        assert_eq!(map.vaddr, 0x0f0e_0d0c_0b0a_0908);
        assert_eq!(map.iova, Iova::new(0x1716_1514_1312_1110));
        assert_eq!(map.size, 0x1f1e_1d1c_1b1a_1918);
        assert_eq!(map.to_bytes(), bytes);
    }
}

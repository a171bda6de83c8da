// SPDX-License-Identifier: GPL-2.0

//! What VFIO's type1 IOMMU driver decides without the kernel: whether a request of user space is
//! well formed, which addresses may be mapped, how dirty bitmaps are set and copied, and where page
//! frames lie side by side.
//!
//! The interface is the kernel's `include/uapi/linux/vfio.h`; errors are those of the C driver in
//! `drivers/vfio/vfio_iommu_type1.c`. Nothing here depends on the kernel; the same source is tested
//! on the host and linked into the module.

#![no_std]
#![forbid(unsafe_code)]

pub mod bitmap;
pub mod capability;
pub mod pieces;
mod prot;
pub mod request;
pub mod run;
pub mod uapi;
pub mod window;

#[cfg(test)]
mod proptest_config;

pub use prot::Prot;

use siov_types::PAGE_SIZE;

/// Why a request is refused before anything has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// `EINVAL`: malformed, misaligned, or contradictory.
    Invalid,
    /// `EOVERFLOW`: a range that ends past the last address.
    Overflow,
}

/// The page sizes that user space sees: what all domains have in common, with sizes below
/// [`PAGE_SIZE`] shown as that, because memory is pinned in such pages.
///
/// `sizes` is the conjunction of the domains' bitmaps, all ones without a domain.
pub const fn visible_page_sizes(sizes: u64) -> u64 {
    let below = sizes & (PAGE_SIZE - 1);
    if below != 0 {
        (sizes & !(PAGE_SIZE - 1)) | PAGE_SIZE
    } else {
        sizes
    }
}

/// log2 of the smallest page in `sizes`: what every address and size is a multiple of, and what one
/// bit of a dirty bitmap stands for.
pub const fn granule_shift(sizes: u64) -> u32 {
    sizes.trailing_zeros() & 63
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_below_a_page_are_shown_as_a_page() {
        assert_eq!(visible_page_sizes(u64::MAX), !0xfff);
        assert_eq!(visible_page_sizes(0x4020_1000), 0x4020_1000);
        assert_eq!(visible_page_sizes(0x4020_0400), 0x4020_1000);
        // Nothing below a page, and no 4 KiB pages either: nothing is added.
        assert_eq!(visible_page_sizes(0x20_0000), 0x20_0000);
        assert_eq!(granule_shift(visible_page_sizes(u64::MAX)), 12);
        assert_eq!(granule_shift(0x4020_0000), 21);
    }
}

// SPDX-License-Identifier: GPL-2.0

//! How the device presents itself on the bus (section "PCI configuration").

/// Vendor id. QEMU's devices for tests and teaching have 1234, which is not registered: edu is
/// 1234:11e8. The range that QEMU's documentation keeps free for experiments, 1af4:10f0 to
/// 1af4:10ff, is no use, because Linux lets virtio_pci try every device of 1af4.
pub const VENDOR_ID: u16 = 0x1234;

/// Device id, which no driver of Linux knows.
pub const DEVICE_ID: u16 = 0x510f;

/// Revision id: the major version of the register specification.
pub const REVISION: u8 = 1;

/// Class code, base class and sub-class: a device that fits no defined class.
pub const CLASS: u16 = 0x00ff;

/// BAR of the privileged pages: the [global](crate::global) page, followed by one
/// [privileged](crate::privileged) page per ADI.
pub const BAR_PRIVILEGED: usize = 0;

/// BAR of the [user](crate::user) pages, one per ADI.
pub const BAR_USER: usize = 2;

/// BAR of the MSI-X table and pending bits.
pub const BAR_MSIX: usize = 4;

/// Size in bytes of a page of registers, so that the kernel can map each one on its own.
pub const PAGE_SIZE: u64 = 4096;

/// Most ADIs that a device has.
pub const MAX_ADIS: u32 = 256;

/// MSI-X vector of faults.
pub const VECTOR_ERROR: u32 = 0;

/// MSI-X vector of an ADI's completions.
#[inline]
pub const fn vector_of(adi: u32) -> u32 {
    adi.saturating_add(1)
}

/// Offset in bytes of an ADI's privileged page in [`BAR_PRIVILEGED`].
#[inline]
pub const fn privileged_page(adi: u32) -> u64 {
    (adi as u64 + 1) * PAGE_SIZE
}

/// Offset in bytes of an ADI's user page in [`BAR_USER`].
#[inline]
pub const fn user_page(adi: u32) -> u64 {
    adi as u64 * PAGE_SIZE
}

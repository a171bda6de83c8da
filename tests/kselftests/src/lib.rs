// SPDX-License-Identifier: GPL-2.0

//! What the guest tests share: KTAP output, PCI functions in sysfs, VFIO, the test module
//! `iommu_ktest`, devices that do DMA on demand, and the kernel's own view (log, counters).
//!
//! A test runs as root in a guest of `scripts/test`; nothing here is meant for a machine in use.

pub mod adi;
pub mod adi_parent;
pub mod child;
pub mod edu;
pub mod faults;
pub mod frames;
pub mod in_flight;
pub mod kernel_log;
pub mod kernel_module;
pub mod ktap;
pub mod ktest;
pub mod mdev;
pub mod mmio;
pub mod monitor;
pub mod pattern;
pub mod pci;
pub mod poll;
pub mod power;
pub mod qemu;
pub mod siov_testdev;
pub mod space;
pub mod stats;
pub mod stuck_page;
pub mod sysfs;
pub mod tables;
pub mod traffic;
pub mod uevent;
pub mod vfio;

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// Bytes of a second-level leaf.
pub const PAGE_2M: usize = 2 << 20;

/// Bytes of a third-level leaf.
pub const PAGE_1G: usize = 1 << 30;

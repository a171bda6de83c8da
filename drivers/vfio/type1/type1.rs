// SPDX-License-Identifier: GPL-2.0

//! A drop-in for the kernel's VFIO type1 IOMMU driver: containers whose devices reach the memory
//! that a process has mapped, and nothing else.
//!
//! The interface is `include/uapi/linux/vfio.h`; requests, errors and their precedence are those of
//! `drivers/vfio/vfio_iommu_type1.c`.
//!
//! # How to read it
//!
//! `VFIO_IOMMU_MAP_DMA` from the top to the bottom:
//!
//! ```text
//!                 vfio.ko
//!                    | struct vfio_iommu_driver_ops
//! sys/ops.rs         trampolines; sys/handle.rs finds the container by its number
//!                    |
//! container.rs       trait Container: what VFIO calls; state.rs: what its lock guards
//!                    |
//! ioctl/map.rs       the request: parsed by rust/type1, checked against windows.rs
//!                    |
//! space/             mappings: the process that pays, tracking of what is written to
//!                    |
//! sys/ioas/          areas and domains: frames are pinned (sys/pin.rs) and mapped in
//!                    | runs (fill.rs), and read back, unmapped and unpinned (drain.rs)
//!                    |
//! sys/iommu.rs       iommu_map(), iommu_unmap()
//! ```
//!
//! The other requests of user space go the same way, from `ioctl/{unmap,dirty,info}.rs` on. Drivers
//! of emulated devices pin pages and copy by `ioctl/external.rs`. Groups join and leave in
//! `group/`, also those of mediated devices that attach to a PASID of their parent.
//!
//! Unsafe code is in [`sys`] alone, which says what the rest of the driver cannot break, whatever
//! it does.
//!
//! # Locks
//!
//! Outermost first: VFIO's (group, container), that of [`Devices`](sys::device::Devices),
//! [`Type1::state`](container::Type1::state), the mutex of an IOMMU group, `mmap_lock`.
//! [`container`] says why the devices come before the state. [`sys::handle`] has two locks, of
//! which none is held while a request is worked on, and `sys::endpoint::Groups` one that is held
//! while a domain is freed at most.

#![deny(unsafe_code)]

mod container;
mod error;
mod group;
mod ioctl;
mod space;
mod state;
#[allow(unsafe_code)]
mod sys;
mod windows;

use kernel::prelude::*;

module! {
    type: Module,
    name: "vfio_iommu_type1",
    authors: ["siov-rs developers"],
    description: "Type1 IOMMU driver for VFIO",
    license: "GPL v2",
}

type Module = sys::registration::Module<container::Type1>;

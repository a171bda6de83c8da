// SPDX-License-Identifier: GPL-2.0

//! A drop-in for the kernel's VFIO type1 IOMMU driver: containers whose devices reach the memory that a
//! process has mapped, and nothing else.
//!
//! The interface is `include/uapi/linux/vfio.h`; requests, errors and their precedence are those of
//! `drivers/vfio/vfio_iommu_type1.c`. How to read it:
//!
//! - [`container`] is what VFIO calls, and [`state`] what a container knows;
//! - [`map`], [`unmap`], [`dirty`] and [`info`] are the requests of user space;
//! - [`attach`] and [`detach`] are groups that come and go, also those of mediated devices that attach to
//!   a PASID of their parent;
//! - [`external`] is what drivers of emulated devices ask for: pinned pages, and copying.
//!
//! Pinned memory and page tables are the business of [`Space`](space::Space).
//!
//! Locks, outermost first: VFIO's (group, container), `Type1::devices`, `Type1::state`, `mmap_lock`. A
//! driver that is told of an unmapping runs with `Type1::devices` held, and takes `Type1::state` to unpin.

use crate::sys::ops::Registration;
use kernel::prelude::*;

mod container;
mod error;
mod group;
mod ioctl;
mod space;
mod state;
mod sys;
mod windows;

use crate::container::Type1;

module! {
    type: Module,
    name: "vfio_iommu_type1",
    authors: ["siov-rs developers"],
    description: "Type1 IOMMU driver for VFIO",
    license: "GPL v2",
}

/// The loaded driver.
struct Module {
    _registration: Registration<Type1>,
}

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _registration: Registration::new(module)?,
        })
    }
}

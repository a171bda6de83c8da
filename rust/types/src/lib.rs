// SPDX-License-Identifier: GPL-2.0

//! The quantities of DMA remapping, one type each, so that a mix-up does not compile.
//!
//! Nothing here depends on the kernel; the same source is tested on the host and linked into the
//! modules.

#![no_std]
#![forbid(unsafe_code)]

mod addr;
mod id;
mod page;

pub use addr::{Iova, IovaRange, PhysAddr, PAGE_SHIFT, PAGE_SIZE};
pub use id::{Bdf, DomainId, Pasid, Segment};
pub use page::{PageCount, Pfn};

// SPDX-License-Identifier: GPL-2.0

//! Invalidation of what a remapping unit has cached: the descriptors of the invalidation queue, and
//! which of them a range of addresses needs (VT-d spec, 6.5).

mod descriptor;
mod display;
mod scope;

pub use descriptor::{Descriptor, DeviceTlb, Drain, Kind, PagingStructures, WaitFlags};
pub use scope::{Cover, Pages, Scope};

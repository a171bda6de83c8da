// SPDX-License-Identifier: GPL-2.0

//! Faults: what a fault recording register says, in words (VT-d spec, chapter 7, 11.4.14 and
//! appendix A; Linux: drivers/iommu/intel/dmar.c).

mod reason;
mod record;

pub use reason::{FaultKind, Reason};
pub use record::{Access, AddressType, FaultRecord};

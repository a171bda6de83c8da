// SPDX-License-Identifier: GPL-2.0

//! Using an IOMMU, and, in [`driver`], driving one.
//!
//! C header: [`include/linux/iommu.h`](srctree/include/linux/iommu.h)

mod device;
mod domain;
pub mod driver;
mod fault;
mod group;
mod pasid;

pub use device::IommuDevice;
pub use domain::{AnyDomain, DomainKey, OwnedDomain};
pub use fault::{DmaFault, FaultAccess, FaultListener, RawDmaFault, Subscription};
pub use group::Group;
pub use pasid::{GlobalPasid, PasidAttachment};

use crate::bindings;
use siov_iopgtable::Prot;

/// `IOMMU_READ` and `IOMMU_WRITE` of C callers.
pub(crate) fn prot_to_raw(prot: Prot) -> i32 {
    let mut raw = 0;
    if prot.contains(Prot::READ) {
        raw |= bindings::IOMMU_READ;
    }
    if prot.contains(Prot::WRITE) {
        raw |= bindings::IOMMU_WRITE;
    }
    raw as i32
}

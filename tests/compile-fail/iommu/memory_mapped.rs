// SPDX-License-Identifier: GPL-2.0

//! why: Memory that devices may write must not be freed meanwhile: a promise that safe code cannot
//!     make.
//! against: linux siov_types siov_iopgtable
//! error: E0133

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux::iommu::OwnedDomain;
use siov_iopgtable::Prot;
use siov_types::{Iova, PhysAddr};

/// Maps the image of the kernel.
pub fn map(domain: &OwnedDomain) -> Result {
    let (iova, phys) = (Iova::new(0x10_0000), PhysAddr::new(0x100_0000));
    // misuse {
    domain.map(iova, phys, 0x1000, Prot::READ | Prot::WRITE)?;
    // }
    let (_, _, _) = (domain, iova, phys);
    let _ = Prot::READ;
    Ok(())
}

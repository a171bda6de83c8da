// SPDX-License-Identifier: GPL-2.0

//! why: ATS of a device belongs to its IOMMU's driver: a TLB that nobody invalidates reaches freed
//!     memory.
//! against: linux
//! error: E0599

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux::iommu::driver::Function;
use linux::pci;

// misuse {
type Any = pci::Device;
// } else {
type Any = Function<'static>;
// }

/// Enables ATS.
pub fn enable(dev: &Any) -> Result {
    dev.enable_ats()
}

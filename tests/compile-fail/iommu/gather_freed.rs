// SPDX-License-Identifier: GPL-2.0

//! why: Tables are freed when the hardware does not reach them any more, which a driver cannot say
//!     of itself.
//! against: linux
//! error: E0624

#![forbid(unsafe_code)]

use linux::iommu::driver::Gather;

/// Frees tables too early.
pub fn free(gather: &mut Gather) -> bool {
    // misuse {
    gather.free_tables();
    // }
    gather.has_tables()
}

// SPDX-License-Identifier: GPL-2.0

//! why: Devices are given back while nobody uses their IOMMU; what drivers do is nothing to assume.
//! against: linux
//! error: E0133

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux::iommu::driver::{Driver, Registration};

/// Unregisters a unit.
pub fn unregister<D: Driver>(registration: &mut Registration<D>) -> Result {
    // misuse {
    return registration.unregister_with(|_| true);
    // } else {
    registration.unregister()
    // }
}

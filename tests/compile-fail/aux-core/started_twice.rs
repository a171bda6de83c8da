// SPDX-License-Identifier: GPL-2.0

//! why: The registry is initialised once, by the module: a mutex that is in use is not.
//! against: drivers/iommu/aux/aux.rs
//! error: E0603

#![forbid(unsafe_code)]

use kernel::prelude::*;

/// Starts the module again.
pub(crate) fn start() -> Result {
    // misuse {
    let _again = crate::sys::registry::start;
    // }
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0

//! why: VFIO calls a driver as long as there are containers, so it is unregistered when the module
//!     is unloaded.
//! against: drivers/vfio/type1/type1.rs
//! error: E0603

#![forbid(unsafe_code)]

use kernel::prelude::*;

/// Unregisters the driver.
pub(crate) fn unregister(module: &'static ThisModule) -> Result {
    // misuse {
    use crate::sys::ops::Registration;
    drop(Registration::<crate::container::Type1>::new(module)?);
    // }
    let _ = module;
    Ok(())
}

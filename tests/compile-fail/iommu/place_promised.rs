// SPDX-License-Identifier: GPL-2.0

//! why: The IOMMU core looks at operations after a driver has refused a device: a driver that
//!     sleeps before its instance is found is not waited for.
//! against: linux
//! error: E0200 Placed

#![forbid(unsafe_code)]

use linux::instance::Instance;
use linux::iommu::driver::Placed;

/// A driver.
pub struct Driver;

static PLACE: Instance<Driver> = Instance::new();

// misuse {
impl Placed for Driver {
    fn place() -> &'static Instance<Self> {
        &PLACE
    }
}
// } else {
impl Driver {
    /// Its place.
    pub fn place() -> &'static Instance<Self> {
        &PLACE
    }
}
// }

/// Whether there is an instance.
pub fn is_placed() -> bool {
    PLACE.with(|_| ()).is_some()
}

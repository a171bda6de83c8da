// SPDX-License-Identifier: GPL-2.0

//! why: A parent is registered by its driver, and as long as that is bound.
//! against: linux linux_mdev
//! error: E0308

#![forbid(unsafe_code)]

use kernel::device::{Bound, Device};
use kernel::prelude::*;
use kernel::sync::Arc;
use linux_mdev::{Driver, DriverRegistration, ParentRegistration};

/// Registers a parent.
pub fn register<D: Driver>(
    bound: &Device<Bound>,
    device: &Device,
    driver: &Arc<DriverRegistration<D>>,
    data: Arc<D::Parent>,
) -> Result<ParentRegistration<D>> {
    let (_, _) = (bound, device);
    // misuse {
    let registration = ParentRegistration::new(device, driver, data);
    // } else {
    let registration = ParentRegistration::new(bound, driver, data);
    // }
    registration
}

// SPDX-License-Identifier: GPL-2.0

//! What the kernel crate does not tell about devices.

use crate::abi::Object;
use kernel::device::{Bound, Device};

/// The device as one that a driver is bound to, if so.
///
/// For functions whose C callers promise that a bound driver stays bound until they return.
pub fn bound(dev: &Device) -> Option<&Device<Bound>> {
    // SAFETY: Reads a pointer of a valid device.
    let driver = unsafe { (*dev.as_raw()).driver };
    // SAFETY: A driver is bound, and stays so by the promise above.
    (!driver.is_null()).then(|| unsafe { dev.as_bound() })
}

// SPDX-License-Identifier: GPL-2.0

//! why: What waits for a driver to be unbound is the driver's module's: others may be unloaded.
//! against: linux
//! error: E0308

#![forbid(unsafe_code)]

use kernel::device::Device;
use kernel::devres;
use kernel::prelude::*;
use linux::device::with_driver;

/// Has a `drop` function.
pub struct Data;

impl Drop for Data {
    fn drop(&mut self) {
        pr_info!("unbound\n");
    }
}

const __LOG_PREFIX: &[u8] = b"case\0";

/// Keeps data until the driver of any device is unbound.
pub fn keep(dev: &Device) -> Result {
    with_driver(dev, |dev| {
        // misuse {
        devres::register(dev, Data, GFP_KERNEL)
        // } else {
        drop(Data);
        linux::iommu::IommuDevice::new(dev).map(drop).ok_or(ENODEV)
        // }
    })
    .ok_or(ENODEV)?
}

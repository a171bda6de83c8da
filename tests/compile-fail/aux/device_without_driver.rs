// SPDX-License-Identifier: GPL-2.0

//! why: Auxiliary domains belong to the driver of a device, and end with its binding.
//! against: linux linux_aux
//! error: E0277 From<&kernel::device::Device>` is not satisfied

#![forbid(unsafe_code)]

use kernel::device::Device;
use kernel::prelude::*;
use linux::device::Driven;
use linux_aux::Enabled;

/// Enables a device.
pub fn enable(driven: Driven<'_>, device: &Device) -> Result<Enabled> {
    let (_, _) = (driven, device);
    // misuse {
    let enabled = Enabled::new(device);
    // } else {
    let enabled = Enabled::new(driven);
    // }
    enabled
}

// SPDX-License-Identifier: GPL-2.0

//! why: Only the PCI core says that a function is being bound.
//! against: linux
//! error: E0423

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux::pci::driver::Function;
use linux::pci::Device;

/// Enables any device.
pub fn enable(dev: &Device) -> Result {
    // misuse {
    Function(dev).enable()?;
    // }
    let _ = dev;
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0

//! why: What users have mapped stays claimed as long as the device that offers it.
//! against: linux
//! error: E0505

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux::mmio::Registers;

/// Releases registers whose pages are offered.
pub fn release(registers: Registers) -> Result<u64> {
    let pages = registers.pages(0, 0x1000)?;
    // misuse {
    drop(registers);
    // }
    Ok(pages.locate(0, 0x1000).map_or(0, |at| at.raw()))
}

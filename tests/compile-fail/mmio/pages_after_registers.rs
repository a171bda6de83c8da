// SPDX-License-Identifier: GPL-2.0

//! why: Pages of registers are lent by the mapping that claims them.
//! against: linux
//! error: E0505

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux::mmio::Registers;

/// Finds a page.
pub fn find(registers: Registers) -> Result<bool> {
    let pages = registers.pages(0, 0x1000)?;
    // misuse {
    drop(registers);
    // }
    Ok(pages.locate(0, 0x1000).is_some())
}

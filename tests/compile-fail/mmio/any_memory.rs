// SPDX-License-Identifier: GPL-2.0

//! why: That a range of physical memory holds registers is a promise that safe code cannot make.
//! against: linux siov_types
//! error: E0133

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux::mmio::Registers;
use siov_types::PhysAddr;

/// Writes to memory of firmware.
pub fn write(at: PhysAddr) -> Result {
    // misuse {
    let registers = Registers::claim(at, 0x1000, c"x")?;
    registers.write64(0, !0);
    // }
    let (_, _) = (at, Registers::phys);
    Ok(())
}

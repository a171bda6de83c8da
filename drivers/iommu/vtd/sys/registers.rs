// SPDX-License-Identifier: GPL-2.0

//! The registers of a unit, where firmware says that they are.

use crate::firmware::UnitDescription;
use kernel::prelude::*;
use linux::mmio;

/// Claims and maps `len` bytes of registers of the unit.
///
/// # Errors
///
/// Those of [`mmio::Registers::claim`].
pub(crate) fn claim(unit: &UnitDescription, len: u64) -> Result<mmio::Registers> {
    // SAFETY: The DMAR table, which has been checked, says that these are the registers of a remapping unit. A kernel
    // that does not believe its firmware has no other source; memory that the kernel uses is claimed, and refused.
    unsafe { mmio::Registers::claim(unit.base, len, c"vtd") }
}

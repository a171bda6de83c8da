// SPDX-License-Identifier: GPL-2.0

//! why: Where a unit has its registers, firmware says, and nobody else.
//! against: drivers/iommu/vtd/vtd.rs
//! error: E0451

#![forbid(unsafe_code)]

use crate::sys::UnitDescription;
use kernel::prelude::*;
use siov_types::PhysAddr;

/// Writes to any memory that no resource claims.
pub(crate) fn write(unit: &UnitDescription, at: PhysAddr) -> Result {
    // misuse {
    let unit = &UnitDescription {
        index: 0,
        base: at,
        len: 0x1000,
    };
    // }
    let _ = at;
    crate::sys::claim(unit, 0x1000)?.write64(0, !0);
    Ok(())
}

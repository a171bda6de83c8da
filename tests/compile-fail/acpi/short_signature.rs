// SPDX-License-Identifier: GPL-2.0

//! why: The ACPI core compares four bytes of a signature, however long the string is.
//! against: linux
//! error: E0308

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux::acpi::Table;

/// The length of a table.
pub fn len(table: &Table) -> Result<usize> {
    // misuse {
    return Ok(Table::get(c"X")?.len());
    // }
    Ok(table.len())
}

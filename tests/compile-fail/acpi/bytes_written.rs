// SPDX-License-Identifier: GPL-2.0

//! why: A table that was checked does not change.
//! against: linux
//! error: E0596

#![forbid(unsafe_code)]

use linux::acpi::Table;

/// Writes to a table.
pub fn clear(table: &mut Table) -> usize {
    // misuse {
    table.fill(0);
    // }
    table.len()
}

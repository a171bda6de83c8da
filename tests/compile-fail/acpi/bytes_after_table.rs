// SPDX-License-Identifier: GPL-2.0

//! why: The bytes of a table stay as long as the table.
//! against: linux
//! error: E0505

#![forbid(unsafe_code)]

use linux::acpi::Table;

/// Reads a table.
pub fn last(table: Table) -> Option<u8> {
    let bytes: &[u8] = &table;
    // misuse {
    drop(table);
    // }
    bytes.last().copied()
}

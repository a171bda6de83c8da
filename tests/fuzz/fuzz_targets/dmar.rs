// SPDX-License-Identifier: GPL-2.0

//! The ACPI DMAR table: raw bytes, and bytes behind a header that says "DMAR" and their length, so
//! that no time is lost on finding those.

#![no_main]

#[path = "../../../rust/vtd/tests/dmar/check.rs"]
mod check;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    check::read_all(data);

    let mut table = b"DMAR".to_vec();
    table.extend((48 + data.len() as u32).to_le_bytes());
    table.resize(36, 0);
    table.extend([45, 1]);
    table.resize(48, 0);
    table.extend(data);
    check::read_all(&table);
});

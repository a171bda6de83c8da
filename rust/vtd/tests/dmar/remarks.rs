// SPDX-License-Identifier: GPL-2.0

//! What is said of tables that have mistakes and are used.

use proptest::prelude::*;
use siov_types::PhysAddr;
use siov_vtd::dmar::{Dmar, FunctionKind, MemoryMap, MemoryUse};

use crate::build::*;
use crate::matching::{bdf, machine};
use crate::proptest_config::cases;
use crate::random::tables;

/// Reserved memory, and below and above it what a table must not claim.
const RESERVED: (u64, u64) = (0x1000, 0xffff);
const USABLE_FROM: u64 = 0x8000_0000;

struct Map;

impl MemoryMap for Map {
    fn use_of(&self, first: PhysAddr, last: PhysAddr) -> MemoryUse {
        if last.raw() >= USABLE_FROM {
            MemoryUse::Usable
        } else if RESERVED.0 <= first.raw() && last.raw() <= RESERVED.1 {
            MemoryUse::Reserved
        } else {
            MemoryUse::Unlisted
        }
    }
}

fn remarks_of(bytes: &[u8]) -> Vec<String> {
    let tree = machine().other(0, bdf(4, 0, 0), FunctionKind::Endpoint);
    let mut remarks = Vec::new();
    let dmar = Dmar::parse(bytes).unwrap();
    dmar.for_each_remark(&tree, &Map, |remark| remarks.push(remark.to_string()));
    remarks
}

/// What is said of one more structure behind a unit, which is 16 bytes.
fn remarks(structure: Vec<u8>) -> Vec<String> {
    remarks_of(&table(&[drhd(1, 0, 0x1000, &[]), structure]))
}

#[test]
fn nothing_is_said_of_a_good_table() {
    let bytes = table(&[
        drhd(
            0,
            0,
            0x2000,
            &[
                endpoint(0, &[(2, 0)]),
                bridge(0, &[(0x1c, 0)]),
                endpoint(0, &[(0x1c, 0), (0, 0), (1, 0), (0, 0)]),
                // Not there.
                endpoint(9, &[(2, 0)]),
                scope(3, 1, 0xf0, &[(0x1f, 7)]),
                scope(4, 1, 0, &[(0x1f, 0)]),
                scope(5, 7, 0, &[(0x15, 0)]),
            ],
        ),
        drhd(1, 0, 0x3000, &[]),
        drhd(1, 1, 0x4000, &[]),
        rmrr(0, 0x1000, 0xffff, &[endpoint(0, &[(2, 0)])]),
        flagged(2, 1, 0, &[]),
        flagged(5, 1, 0, &[endpoint(0, &[(2, 0)])]),
        rhsa(0x4000, 1),
        andd(7, b"\\_SB.I2C0\0"),
        flagged(6, 0, 0, &[endpoint(0, &[])]),
        structure(0x1234, &[1, 2, 3], &[]),
    ]);
    assert!(remarks_of(&bytes).is_empty(), "{:?}", remarks_of(&bytes));
}

#[test]
fn one_line_for_each_mistake() {
    for (structure, line) in [
        (
            drhd(0, 0, 0x1000, &[endpoint(0, &[(2, 0)])]),
            "DRHD at offset 0x40: registers at 0x1000 are those of the DRHD at offset 0x30, \
             taken as one unit",
        ),
        (
            drhd(1, 0, 0x2000, &[]),
            "DRHD at offset 0x40: INCLUDE_PCI_ALL for segment 0000 \
             is taken by the DRHD at offset 0x30",
        ),
        (
            rmrr(0, 0, 0, &[]),
            "RMRR at offset 0x40: 0x0 to 0x0 is empty, skipped",
        ),
        (
            rmrr(0, 0x5000, 0x2fff, &[]),
            "RMRR at offset 0x40: 0x5000 to 0x2fff is empty, skipped",
        ),
        (
            rmrr(0, 0x5800, 0x5fff, &[]),
            "RMRR at offset 0x40: 0x5800 to 0x5fff is not made of pages, rounded outward",
        ),
        (
            rmrr(0, 0x8000_0000, 0x8000_0fff, &[]),
            "RMRR at offset 0x40: 0x80000000 to 0x80000fff is usable memory \
             in the machine's memory map",
        ),
        (
            rmrr(0, 0xf000, 0x1_0fff, &[]),
            "RMRR at offset 0x40: 0xf000 to 0x10fff is not reserved in the machine's memory map",
        ),
        (
            rhsa(0x7000, 1),
            "RHSA at offset 0x40: no unit has registers at 0x7000, skipped",
        ),
        (
            rmrr(0, 0x1000, 0x1fff, &[scope(0, 0, 0, &[(2, 0)])]),
            "RMRR at offset 0x40, device scope at offset 0x58: unknown type 0x0, skipped",
        ),
        (
            drhd(0, 0, 0x2000, &[endpoint(0, &[(1, 0)]), endpoint(0, &[])]),
            "DRHD at offset 0x40, device scope at offset 0x58: an endpoint without a path, skipped",
        ),
        (
            drhd(0, 0, 0x2000, &[scope(3, 0, 0, &[(0x20, 0)])]),
            "DRHD at offset 0x40, device scope at offset 0x50: \
             device 0x20 function 0x0 is not possible in the path of an I/O APIC, skipped",
        ),
        (
            flagged(2, 0, 0, &[vec![2, 9, 0, 0, 0, 0, 0x1c, 0, 1]]),
            "ATSR at offset 0x40, device scope at offset 0x48: \
             the path of a bridge does not consist of whole elements, last byte skipped",
        ),
        (
            flagged(5, 0, 0, &[endpoint(4, &[(0, 0)])]),
            "SATC at offset 0x40, device scope at offset 0x48: \
             the bus is no root bus, taken as function 04:00.0",
        ),
        (
            drhd(0, 0, 0x2000, &[scope(5, 3, 0, &[(0x15, 0)])]),
            "DRHD at offset 0x40, device scope at offset 0x50: \
             no ANDD declares ACPI device 3, skipped",
        ),
        (
            andd(3, b"\\_SB.\xff\0"),
            "ANDD at offset 0x40: no DRHD names ACPI device 3 (\\_SB.\\xff), \
             its DMA may be blocked",
        ),
        (
            vec![0; 5],
            "table: zeros from offset 0x40 to the end, skipped",
        ),
    ] {
        assert_eq!(remarks(structure), [line]);
    }
    let mut bytes = table(&[]);
    bytes[36] = 64;
    assert_eq!(
        remarks_of(&bytes),
        ["table: host address width of 65 bits, taken as 64"]
    );
    // Two mistakes are two lines.
    assert_eq!(remarks(rmrr(0, 0x8000_0000, 0x8000_0ffe, &[])).len(), 2);
}

#[test]
fn a_description_of_the_same_unit_is_no_second_one_with_all() {
    let again = drhd(1, 0, 0x1000, &[]);
    let lines = remarks_of(&table(&[again.clone(), again.clone(), again]));
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.contains("taken as one unit")));
    // The first one that has all need not be the first description.
    let lines = remarks_of(&table(&[
        drhd(0, 0, 0x1000, &[]),
        drhd(1, 0, 0x1000, &[]),
        drhd(1, 0, 0x2000, &[]),
    ]));
    assert_eq!(lines.len(), 2);
    assert!(lines[1].starts_with("DRHD at offset 0x50: INCLUDE_PCI_ALL"));
    assert!(lines[1].ends_with("offset 0x40"));
}

proptest! {
    #![proptest_config(cases(2048))]
    /// Whatever else is in the table: one mistake more is one line more.
    #[test]
    fn a_mistake_is_a_line(bytes in tables(), which in 0usize..6) {
        let structures = bytes[48..].to_vec();
        let wrong = [
            rmrr(0, 0, 0, &[]),
            rmrr(0, 0x3000, 0x2fff, &[]),
            rmrr(0, 0x3001, 0x3fff, &[]),
            rmrr(0, 0x3000, 0x3fff, &[endpoint(0, &[])]),
            rhsa(0x7777, 1),
            andd(0, b"X\0"),
        ][which].clone();
        // A number that no scope names: those of the table are changed to others.
        let Ok(dmar) = Dmar::parse(&bytes) else { return Ok(()) };
        let taken = dmar.units().flat_map(|u| u.scopes).any(|s| s.enumeration_id == 0)
            || dmar.namespace_devices().any(|d| d.number == 0);
        prop_assume!(which != 5 || !taken);
        let before = remarks_of(&bytes).len();
        let after = remarks_of(&table(&[structures, wrong])).len();
        prop_assert_eq!(after, before + 1);
    }
}

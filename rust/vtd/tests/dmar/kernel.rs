// SPDX-License-Identifier: GPL-2.0

//! Which tables the kernel's own driver uses (drivers/iommu/intel/dmar.c and iommu.c), as far as
//! that depends on the table alone: those, and no others, are used here.

use proptest::prelude::*;
use siov_vtd::dmar::Dmar;

use crate::build::*;
use crate::proptest_config::cases;
use crate::random::tables;

/// What the driver does with a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// Uses it, perhaps after a warning.
    Uses,
    /// Uses its structures, and does not come to an end when it looks for ACPI devices behind them.
    /// This happens at boot, even if the driver is switched off. Nothing is wrong with using such a
    /// table on a kernel without that driver.
    LoopsInZeros,
    Refuses,
    /// Does not come to an end.
    Loops,
    /// Reads what is not in the table, in the structure, or in the device scope.
    ReadsBeyond,
}

use Verdict::{Loops, LoopsInZeros, ReadsBeyond, Refuses, Uses};

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn quad(bytes: &[u8], at: usize) -> u64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(raw)
}

/// dmar_alloc_dev_scope() and dmar_insert_dev_scope(), which go from one to the next by length.
fn device_scopes(mut scopes: &[u8]) -> Verdict {
    while !scopes.is_empty() {
        if scopes.len() < 2 {
            return ReadsBeyond;
        }
        let length = usize::from(scopes[1]);
        if length == 0 {
            return Loops;
        }
        if length < 6 || length > scopes.len() {
            return ReadsBeyond;
        }
        scopes = &scopes[length..];
    }
    Uses
}

/// Units: segment, first and last byte of the registers.
type Units = Vec<(u16, u64, u64)>;

/// dmar_parse_one_drhd() and alloc_iommu(), where registers answer.
fn unit(structure: &[u8], units: &mut Units) -> Verdict {
    let (segment, base) = (word(structure, 6), quad(structure, 8));
    // The upper half is reserved; the driver takes it for a part of the exponent.
    let size = 4096u64 << (structure[5] & 0xf);
    if base == 0 {
        return Refuses;
    }
    if units.iter().any(|u| (u.0, u.1) == (segment, base)) {
        return Uses;
    }
    if base % 4096 != 0 {
        // Registers that the unit does not have.
        return ReadsBeyond;
    }
    // ioremap() and request_mem_region().
    let Some(last) = base.checked_add(size - 1) else {
        return Refuses;
    };
    if units.iter().any(|u| u.1 <= last && base <= u.2) {
        return Refuses;
    }
    units.push((segment, base, last));
    device_scopes(&structure[16..])
}

fn structure(structure: &[u8], units: &mut Units) -> Verdict {
    let kind = word(structure, 0);
    let fixed = match kind {
        0 => 16,
        1 => 24,
        2 | 4 | 5 => 8,
        3 => 20,
        // Nobody looks into others.
        _ => return Uses,
    };
    if structure.len() < fixed {
        return ReadsBeyond;
    }
    let rest = &structure[fixed..];
    match kind {
        0 => unit(structure, units),
        2 if structure[4] & 1 != 0 => Uses,
        1 | 2 | 5 => device_scopes(rest),
        4 if !rest.contains(&0) => Refuses,
        _ => Uses,
    }
}

/// parse_dmar_table(), dmar_walk_remapping_entries() and dmar_acpi_dev_scope_init(). The ACPI core
/// has mapped as many bytes as the header says.
fn verdict(table: &[u8]) -> Verdict {
    if table.len() < 48 || table[36] < 11 {
        return Refuses;
    }
    let mut units = Units::new();
    let mut left = &table[48..];
    while !left.is_empty() {
        if left.iter().all(|byte| *byte == 0) {
            return LoopsInZeros;
        }
        if left.len() < 4 {
            return ReadsBeyond;
        }
        let length = usize::from(word(left, 2));
        if length == 0 {
            return Loops;
        }
        if length > left.len() {
            return Refuses;
        }
        if length < 4 {
            return ReadsBeyond;
        }
        match structure(&left[..length], &mut units) {
            Uses => {}
            other => return other,
        }
        left = &left[length..];
    }
    Uses
}

/// Tables as made by a firmware with a slip here and there.
fn slips() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), 0u8..12), 0..4);
    let zeros = prop_oneof![5 => Just(0), 1 => 1usize..6];
    (tables(), changes, zeros).prop_map(|(mut bytes, changes, zeros)| {
        bytes.resize(bytes.len() + zeros, 0);
        for (at, value) in changes {
            let at = 36 + at.index(bytes.len() - 36);
            bytes[at] = value;
        }
        let length = (bytes.len() as u32).to_le_bytes();
        bytes[4..8].copy_from_slice(&length);
        bytes
    })
}

fn agrees(bytes: &[u8]) -> Result<(), TestCaseError> {
    let ours = Dmar::parse(bytes);
    let verdict = verdict(bytes);
    let used = matches!(verdict, Uses | LoopsInZeros);
    prop_assert_eq!(ours.is_ok(), used, "{:?}, {:?}", ours, verdict);
    Ok(())
}

proptest! {
    #![proptest_config(cases(16384))]
    #[test]
    fn uses_what_the_kernel_uses(bytes in slips()) {
        agrees(&bytes)?;
    }

    #[test]
    fn uses_what_the_kernel_uses_of_small_numbers(random in prop::collection::vec(0u8..10, 0..128)) {
        agrees(&table(&[random]))?;
    }
}

#[test]
fn each_verdict() {
    let unit = || drhd(1, 0, 0x1000, &[]);
    let with = |more: Vec<u8>| table(&[unit(), more]);
    for (bytes, expect) in [
        (with(vec![]), Uses),
        (with(unit()), Uses),
        (with(drhd(1, 0, 0x2000, &[])), Uses),
        (with(drhd(0, 1, 0x1000, &[])), Refuses),
        (with(drhd(0, 0, 0, &[])), Refuses),
        (with(drhd(0, 0, 0x2800, &[])), ReadsBeyond),
        (with(rmrr(0, 0, 0, &[])), Uses),
        (with(rmrr(0, 0x2000, 0x1fff, &[])), Uses),
        (with(rmrr(0, 0x1800, 0x1fff, &[])), Uses),
        (with(drhd(0, 0, 0x2000, &[endpoint(0, &[])])), Uses),
        (with(drhd(0, 0, 0x2000, &[endpoint(0, &[(0x20, 0)])])), Uses),
        (with(drhd(0, 0, 0x2000, &[vec![1, 7, 0, 0, 0, 0, 1]])), Uses),
        (with(drhd(0, 0, 0x2000, &[vec![1, 0]])), Loops),
        (
            with(drhd(0, 0, 0x2000, &[vec![1, 5, 0, 0, 0]])),
            ReadsBeyond,
        ),
        (
            with(drhd(0, 0, 0x2000, &[vec![1, 9, 0, 0, 0, 0]])),
            ReadsBeyond,
        ),
        (with(andd(1, b"\\_SB")), Refuses),
        (with(vec![0; 16]), LoopsInZeros),
        (with(vec![9, 0, 0, 0]), Loops),
        (with(vec![9, 0, 5, 0]), Refuses),
    ] {
        assert_eq!(verdict(&bytes), expect, "{:x?}", &bytes[48..]);
        agrees(&bytes).unwrap();
    }
}

// SPDX-License-Identifier: GPL-2.0

use siov_types::{PhysAddr, Segment};
use siov_vtd::dmar::{Dmar, DmarFlags, ErrorKind, ScopeKind, Structure, StructureKind};

use crate::build::*;

/// Offset and kind of what is wrong with a table of these structures.
fn error(structures: &[Vec<u8>]) -> (usize, ErrorKind) {
    let error = Dmar::parse(&table(structures)).unwrap_err();
    (error.offset, error.kind)
}

#[test]
fn every_kind_of_structure() {
    let mut sized = drhd(0, 1, 0xfed9_0000, &[endpoint(0, &[(2, 0)])]);
    sized[5] = 0x31;
    let bytes = table(&[
        sized,
        drhd(
            1,
            0,
            0xfed9_2000,
            &[scope(3, 8, 0xf0, &[(31, 0)]), scope(4, 0, 0, &[(15, 0)])],
        ),
        rmrr(0, 0x7a00_0000, 0x7c7f_ffff, &[endpoint(0, &[(2, 0)])]),
        flagged(2, 1, 0, &[]),
        rhsa(0xfed9_2000, 3),
        andd(5, b"\\_SB.I2C0\0junk"),
        flagged(5, 1, 0, &[endpoint(0x6a, &[(1, 0)])]),
        // Nobody looks into it.
        flagged(6, 0, 2, &[vec![1, 0]]),
        structure(7, &[0xff; 5], &[]),
        structure(0x1234, &[], &[]),
    ]);
    let dmar = Dmar::parse(&bytes).unwrap();
    assert_eq!(Dmar::checksum_is_valid(&bytes), Ok(true));
    assert_eq!(dmar.host_address_width(), 46);
    assert_eq!(dmar.flags(), DmarFlags::INTR_REMAP);
    assert_eq!(dmar.structures().count(), 10);

    let units: Vec<_> = dmar.units().collect();
    assert_eq!(units.len(), 2);
    assert_eq!(units[0].segment, Segment(1));
    assert_eq!(units[0].register_base, PhysAddr::new(0xfed9_0000));
    // The upper half of the size byte is reserved.
    assert_eq!(units[0].register_size, 0x2000);
    assert!(!units[0].include_all && units[1].include_all);
    assert_eq!(units[1].register_size, 0x1000);
    assert_eq!(units[1].offset, 0x48);
    let kinds: Vec<_> = units[1]
        .scopes
        .into_iter()
        .map(|s| (s.kind, s.enumeration_id))
        .collect();
    assert_eq!(kinds, [(ScopeKind::IoApic, 8), (ScopeKind::Hpet, 0)]);

    let region = dmar.reserved_memory().next().unwrap();
    assert_eq!(region.base, PhysAddr::new(0x7a00_0000));
    assert_eq!(region.limit, PhysAddr::new(0x7c7f_ffff));
    assert_eq!(dmar.proximity_domain(PhysAddr::new(0xfed9_2000)), Some(3));
    assert_eq!(dmar.proximity_domain(PhysAddr::new(0xfed9_0000)), None);

    let rest: Vec<_> = dmar.structures().skip(3).collect();
    assert!(matches!(rest[0], Structure::RootPortAts(p) if p.all_ports));
    assert!(
        matches!(rest[2], Structure::NamespaceDevice(d) if d.number == 5 && d.name == b"\\_SB.I2C0")
    );
    assert!(matches!(rest[3], Structure::AtsCache(c) if c.required));
    assert_eq!(rest[4], Structure::DeviceProperties);
    assert!(matches!(rest[5], Structure::Unknown { kind: 7, .. }));
    assert!(matches!(rest[6], Structure::Unknown { kind: 0x1234, .. }));
}

#[test]
fn the_header() {
    let good = table(&[]);
    assert_eq!(Dmar::parse(&good).unwrap().structures().count(), 0);
    let text = |bytes: &[u8]| Dmar::parse(bytes).unwrap_err().to_string();
    assert_eq!(text(b"DMA"), "DMAR: the signature is not \"DMAR\"");
    assert_eq!(
        text(b"APIC\x30\0\0\0"),
        "DMAR: the signature is not \"DMAR\""
    );
    assert_eq!(
        text(b"DMAR\x30\0\0"),
        "DMAR: length 7 is below the 48-byte minimum of the table"
    );
    assert_eq!(
        text(&good[..47]),
        "DMAR: length 48 exceeds the 47 bytes of the table"
    );
    let mut bytes = good.clone();
    bytes[4] = 47;
    assert_eq!(
        text(&bytes),
        "DMAR: length 47 is below the 48-byte minimum of the table"
    );
    for (width, bits) in [(0, 1), (10, 11)] {
        bytes = good.clone();
        bytes[36] = width;
        assert_eq!(
            text(&bytes),
            format!("DMAR: impossible host address width of {bits} bits")
        );
    }
    for (width, bits) in [(11, 12), (63, 64), (64, 64), (255, 64)] {
        bytes = good.clone();
        bytes[36] = width;
        assert_eq!(Dmar::parse(&bytes).unwrap().host_address_width(), bits);
    }
    // Bytes after the table are none of its business.
    bytes = good.clone();
    bytes.extend([0xff; 7]);
    assert!(Dmar::parse(&bytes).is_ok());
    assert_eq!(Dmar::checksum_is_valid(&bytes), Ok(true));
}

#[test]
fn the_checksum_is_a_matter_of_its_own() {
    let mut bytes = table(&[drhd(1, 0, 0xfed9_0000, &[])]);
    bytes[24] ^= 1;
    assert_eq!(Dmar::checksum_is_valid(&bytes), Ok(false));
    assert!(Dmar::parse(&bytes).is_ok());
    assert!(Dmar::checksum_is_valid(&bytes[..20]).is_err());
}

#[test]
fn lengths_of_structures() {
    let with_length = |mut bytes: Vec<u8>, length: u16| {
        bytes[2..4].copy_from_slice(&length.to_le_bytes());
        bytes
    };
    // Each kind, one byte short of its minimum, and at 0.
    for (bytes, kind, minimum) in [
        (drhd(1, 0, 0x1000, &[]), StructureKind::Drhd, 16),
        (rmrr(0, 0, 0xfff, &[]), StructureKind::Rmrr, 24),
        (flagged(2, 0, 0, &[]), StructureKind::Atsr, 8),
        (rhsa(0x1000, 0), StructureKind::Rhsa, 20),
        (andd(0, b""), StructureKind::Andd, 8),
        (flagged(5, 0, 0, &[]), StructureKind::Satc, 8),
        (flagged(6, 0, 0, &[]), StructureKind::Sidp, 4),
        (structure(9, &[], &[]), StructureKind::Unknown(9), 4),
    ] {
        for length in [0, minimum as u16 - 1] {
            let expect = ErrorKind::StructureTooShort {
                kind,
                length,
                minimum,
            };
            assert_eq!(error(&[with_length(bytes.clone(), length)]), (0x30, expect));
        }
        let length = bytes.len() as u16 + 1;
        let left = bytes.len();
        let expect = ErrorKind::StructureTruncated { kind, length, left };
        assert_eq!(error(&[with_length(bytes, length)]), (0x30, expect));
    }
    assert_eq!(
        error(&[drhd(1, 0, 0x1000, &[]), vec![0, 0, 4]]),
        (0x40, ErrorKind::StructureHeader { left: 3 })
    );
    // Zeros are no structure, but what has a type is one.
    let zero = with_length(structure(9, &[], &[]), 0);
    assert_eq!(
        Dmar::parse(&table(&[zero])).unwrap_err().to_string(),
        "DMAR: remapping structure at offset 0x30: length 0 is below the 4-byte minimum of type 0x9"
    );
    assert_eq!(
        Dmar::parse(&table(&[with_length(drhd(1, 0, 0x1000, &[]), 4)]))
            .unwrap_err()
            .to_string(),
        "DMAR: remapping structure at offset 0x30: length 4 is below the 16-byte minimum of DRHD"
    );
}

#[test]
fn device_scopes_are_checked_in_every_structure() {
    let bad = vec![1, 5, 0, 0, 0, 0, 0, 0];
    let expect = ErrorKind::ScopeTooShort { length: 5 };
    let good = endpoint(0, &[(1, 0)]);
    for (structure, fixed) in [
        (drhd(0, 0, 0x1000, &[good.clone(), bad.clone()]), 16),
        (rmrr(0, 0, 0xfff, &[good.clone(), bad.clone()]), 24),
        (flagged(2, 0, 0, &[good.clone(), bad.clone()]), 8),
        (flagged(5, 0, 0, &[good.clone(), bad.clone()]), 8),
    ] {
        assert_eq!(error(&[structure]), (0x30 + fixed + 8, expect));
    }
    // Where nobody looks, nothing can be wrong.
    for structure in [
        flagged(2, 1, 0, &[good.clone(), bad.clone()]),
        flagged(6, 0, 0, &[good, bad]),
    ] {
        assert!(Dmar::parse(&table(&[structure])).is_ok());
    }
}

#[test]
fn registers() {
    for base in [0, 0x1800, u64::MAX - 0x7ff] {
        let expect = ErrorKind::RegisterBase {
            base: PhysAddr::new(base),
        };
        assert_eq!(error(&[drhd(0, 0, base, &[])]), (0x30, expect));
    }
    // The last page is a page, but two pages from there wrap around.
    let mut last = drhd(0, 0, !0xfff, &[]);
    assert!(Dmar::parse(&table(&[last.clone()])).is_ok());
    last[5] = 1;
    let expect = ErrorKind::RegisterBase {
        base: PhysAddr::new(!0xfff),
    };
    assert_eq!(error(&[last]), (0x30, expect));

    let mut wide = drhd(0, 0, 0x10_0000, &[]);
    wide[5] = 2;
    let overlap = |base, other| ErrorKind::RegisterOverlap {
        base: PhysAddr::new(base),
        other,
    };
    let after = drhd(0, 1, 0x10_3000, &[]);
    assert_eq!(
        error(&[wide.clone(), after.clone()]),
        (0x40, overlap(0x10_3000, 0x30))
    );
    assert_eq!(
        error(&[after, wide.clone()]),
        (0x40, overlap(0x10_0000, 0x30))
    );
    assert!(Dmar::parse(&table(&[wide, drhd(0, 1, 0x10_4000, &[])])).is_ok());
}

#[test]
fn not_more_units_than_supported() {
    let units: Vec<_> = (1..=1025).map(|n| drhd(0, 0, n << 12, &[])).collect();
    assert!(Dmar::parse(&table(&units[..1024])).is_ok());
    assert_eq!(error(&units), (0x30 + 1024 * 16, ErrorKind::TooManyUnits));
}

#[test]
fn reserved_memory_is_made_of_pages() {
    for (base, limit, pages) in [
        (0x1000, 0x1fff, Some((0x1000, 0x1fff))),
        (0x1800, 0x1fff, Some((0x1000, 0x1fff))),
        (0x1000, 0x2000, Some((0x1000, 0x2fff))),
        (0x1fff, 0x2000, Some((0x1000, 0x2fff))),
        (0, 0xfff, Some((0, 0xfff))),
        (!0xfff, u64::MAX, Some((!0xfff, u64::MAX))),
        (1, u64::MAX - 1, Some((0, u64::MAX))),
        (0, 0, None),
        (0x1000, 0x1000, None),
        (0x2000, 0x1fff, None),
        (0x2000, 0xfff, None),
        (u64::MAX, 0, None),
    ] {
        let bytes = table(&[rmrr(0, base, limit, &[])]);
        let dmar = Dmar::parse(&bytes).unwrap();
        let found = dmar.reserved_memory().next();
        let found = found.map(|r| (r.base.raw(), r.limit.raw()));
        assert_eq!(found, pages, "{base:#x} to {limit:#x}");
    }
}

#[test]
fn zeros_end_the_table() {
    for zeros in [1, 3, 4, 16, 64] {
        let bytes = table(&[drhd(1, 0, 0x1000, &[]), vec![0; zeros]]);
        let dmar = Dmar::parse(&bytes).unwrap();
        assert_eq!(dmar.structures().count(), 1, "{zeros}");
        // A structure behind them is lost.
        let mut bytes = table(&[vec![0; zeros.next_multiple_of(4)], drhd(1, 0, 0x1000, &[])]);
        assert_eq!(
            Dmar::parse(&bytes).unwrap_err().kind,
            ErrorKind::StructureTooShort {
                kind: StructureKind::Drhd,
                length: 0,
                minimum: 16
            }
        );
        bytes.truncate(48);
        bytes[4] = 48;
        assert!(Dmar::parse(&bytes).is_ok());
    }
}

#[test]
fn names_end() {
    assert_eq!(error(&[andd(1, b"")]), (0x30, ErrorKind::NameUnterminated));
    assert_eq!(
        error(&[andd(1, b"\\_SB")]),
        (0x30, ErrorKind::NameUnterminated)
    );
    assert!(Dmar::parse(&table(&[andd(1, b"\0")])).is_ok());
}

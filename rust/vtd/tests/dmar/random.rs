// SPDX-License-Identifier: GPL-2.0

//! Tables that no firmware should make.

use proptest::prelude::*;
use siov_types::{Bdf, Segment};
use siov_vtd::dmar::{BusRange, Dmar, PciTopology, RootPort, Scopes, Structure};

use crate::build::*;
use crate::proptest_config::cases;

/// Every function is a bridge to all buses, so that every path leads somewhere.
struct Everywhere;

impl PciTopology for Everywhere {
    fn buses_below(&self, _: Segment, bdf: Bdf) -> Option<BusRange> {
        let [first, last] = bdf.raw().to_be_bytes();
        Some(BusRange { first, last })
    }

    fn root_port(&self, _: Segment, bdf: Bdf) -> RootPort {
        RootPort::Port(bdf)
    }
}

fn inside(outer: &[u8], inner: &[u8]) -> bool {
    let (outer, inner) = (outer.as_ptr_range(), inner.as_ptr_range());
    outer.start <= inner.start && inner.end <= outer.end
}

/// Reads all that a table offers, and checks that it comes from within.
fn read_all(bytes: &[u8]) -> Result<(), TestCaseError> {
    let dmar = match Dmar::parse(bytes) {
        Ok(dmar) => dmar,
        Err(error) => {
            prop_assert!(error.offset <= bytes.len());
            prop_assert!(!error.to_string().contains('\n'));
            return Ok(());
        }
    };
    let length = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
    prop_assert!((48..=bytes.len()).contains(&length));
    let table = &bytes[..length];
    let mut structures = 0;
    for structure in dmar.structures() {
        structures += 1;
        let scopes: Option<Scopes<'_>> = match structure {
            Structure::Unit(unit) => {
                prop_assert!(unit.register_base.raw() != 0 && unit.register_base.is_aligned(4096));
                prop_assert!((48..length).contains(&unit.offset));
                Some(unit.scopes)
            }
            Structure::ReservedMemory(region) => {
                prop_assert!(region.base < region.limit);
                Some(region.scopes)
            }
            Structure::RootPortAts(ports) => Some(ports.scopes),
            Structure::AtsCache(cache) => Some(cache.scopes),
            Structure::DeviceProperties(properties) => Some(properties.scopes),
            Structure::NamespaceDevice(device) => {
                prop_assert!(inside(table, device.name) && !device.name.contains(&0));
                None
            }
            Structure::Proximity(_) | Structure::Unknown { .. } => None,
        };
        if let Some(scopes) = scopes {
            prop_assert!(inside(table, scopes.as_bytes()));
            let count = scopes.into_iter().map(|s| s.path().count()).sum::<usize>();
            prop_assert!(count <= scopes.as_bytes().len() / 2);
        }
    }
    prop_assert!(structures <= (length - 48) / 4);
    for raw in [0, 8, 0x1234, 0xffff] {
        for segment in [Segment(0), Segment(1)] {
            let bdf = Bdf::from_raw(raw);
            if let Some(unit) = dmar.unit_for(segment, bdf, &Everywhere) {
                prop_assert_eq!(unit.segment, segment);
            }
            dmar.ats(segment, bdf, &Everywhere);
            prop_assert!(dmar.reserved_memory_of(segment, bdf, &Everywhere).count() <= structures);
        }
    }
    Ok(())
}

/// Structures in bytes that are right in themselves.
fn structures() -> impl Strategy<Value = Vec<u8>> {
    let path = prop::collection::vec((0u8..32, 0u8..8), 1..4);
    let scope = (1u8..7, any::<u8>(), any::<u8>(), path)
        .prop_map(|(kind, id, bus, path)| scope(kind, id, bus, &path));
    let scopes = prop::collection::vec(scope, 0..4);
    let page = (1u64..1 << 20).prop_map(|n| n << 12);
    prop_oneof![
        (0u8..2, 0u16..3, page.clone(), scopes.clone()).prop_map(|(f, s, b, c)| drhd(f, s, b, &c)),
        (0u16..3, page.clone(), 1u64..1 << 16, scopes.clone()).prop_map(|(s, b, n, c)| rmrr(
            s,
            b,
            b + (n << 12) - 1,
            &c
        )),
        (
            prop_oneof![Just(2u16), Just(5), Just(6)],
            0u8..2,
            0u16..3,
            scopes
        )
            .prop_map(|(k, f, s, c)| flagged(k, f, s, &c)),
        (page, any::<u32>()).prop_map(|(b, d)| rhsa(b, d)),
        (any::<u8>(), "[A-Z_.]{0,20}").prop_map(|(n, name)| andd(n, (name + "\0").as_bytes())),
        (7u16.., prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(k, f)| structure(
            k,
            &f,
            &[]
        )),
    ]
}

fn tables() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(structures(), 0..8).prop_map(|s| table(&s))
}

proptest! {
    #![proptest_config(cases(4096))]
    #[test]
    fn random_structures(random in prop::collection::vec(any::<u8>(), 0..256)) {
        read_all(&table(std::slice::from_ref(&random)))?;
        read_all(&random)?;
    }

    #[test]
    fn random_small_numbers(random in prop::collection::vec(0u8..10, 0..256)) {
        read_all(&table(&[random]))?;
    }

    #[test]
    fn valid_structures_are_accepted(structure in structures()) {
        let bytes = table(&[structure]);
        let dmar = Dmar::parse(&bytes);
        prop_assert_eq!(dmar.map(|d| d.structures().count()), Ok(1));
    }

    #[test]
    fn valid_tables(bytes in tables()) {
        read_all(&bytes)?;
        prop_assert_eq!(Dmar::checksum_is_valid(&bytes), Ok(true));
    }

    #[test]
    fn valid_tables_with_a_few_bytes_changed(
        mut bytes in tables(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read_all(&bytes)?;
    }
}

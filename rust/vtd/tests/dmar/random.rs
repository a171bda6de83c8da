// SPDX-License-Identifier: GPL-2.0

//! Tables that no firmware should make.

use proptest::prelude::*;
use siov_vtd::dmar::Dmar;

use crate::build::*;
use crate::check::read_all;
use crate::proptest_config::cases;

/// Structures in bytes that are right in themselves.
pub fn structures() -> impl Strategy<Value = Vec<u8>> {
    let path = prop::collection::vec((0u8..32, 0u8..8), 1..4);
    let scope = (1u8..7, any::<u8>(), any::<u8>(), path)
        .prop_map(|(kind, id, bus, path)| scope(kind, id, bus, &path));
    let scopes = prop::collection::vec(scope, 0..4);
    // Some of them are the same.
    let page = prop_oneof![1u64..1 << 20, 1u64..4].prop_map(|n| n << 12);
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

pub fn tables() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(structures(), 0..8).prop_map(|s| table(&s))
}

proptest! {
    #![proptest_config(cases(4096))]
    #[test]
    fn random_structures(random in prop::collection::vec(any::<u8>(), 0..256)) {
        read_all(&table(std::slice::from_ref(&random)));
        read_all(&random);
    }

    #[test]
    fn random_small_numbers(random in prop::collection::vec(0u8..10, 0..256)) {
        read_all(&table(&[random]));
    }

    #[test]
    fn valid_structures_are_accepted(structure in structures()) {
        let bytes = table(&[structure]);
        let dmar = Dmar::parse(&bytes);
        prop_assert_eq!(dmar.map(|d| d.structures().count()), Ok(1));
    }

    #[test]
    fn valid_tables(bytes in tables()) {
        read_all(&bytes);
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
        read_all(&bytes);
    }
}

// SPDX-License-Identifier: GPL-2.0

use std::collections::BTreeMap;

use proptest::prelude::*;
use siov_types::{Bdf, PhysAddr, Segment};
use siov_vtd::dmar::{
    Ats, BusRange, Dmar, ErrorKind, FunctionKind, PciTopology, RootPort, ScopeKind,
};

use crate::build::*;
use crate::proptest_config::cases;

/// A PCI hierarchy, as a list of its bridges.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// The buses below each bridge.
    bridges: BTreeMap<(u16, u16), BusRange>,
    /// Bridges to conventional PCI.
    conventional: Vec<(u16, u16)>,
    /// What else there is; only tests that ask for kinds need it.
    others: BTreeMap<(u16, u16), FunctionKind>,
}

impl Tree {
    fn bridge(mut self, segment: u16, bdf: Bdf, first: u8, last: u8) -> Self {
        self.bridges
            .insert((segment, bdf.raw()), BusRange { first, last });
        self
    }

    pub fn other(mut self, segment: u16, bdf: Bdf, kind: FunctionKind) -> Self {
        self.others.insert((segment, bdf.raw()), kind);
        self
    }

    /// The bridge right above a bus.
    fn above(&self, segment: Segment, bus: u8) -> Option<Bdf> {
        self.bridges
            .iter()
            .find(|((s, _), range)| *s == segment.0 && range.first == bus)
            .map(|((_, bdf), _)| Bdf::from_raw(*bdf))
    }

    /// The bridges above a function, closest first.
    fn ancestors(&self, segment: Segment, bdf: Bdf) -> Vec<Bdf> {
        std::iter::successors(self.above(segment, bdf.bus()), |b| {
            self.above(segment, b.bus())
        })
        .collect()
    }
}

impl PciTopology for Tree {
    fn kind_of(&self, segment: Segment, bdf: Bdf) -> Option<FunctionKind> {
        let at = (segment.0, bdf.raw());
        let bridge = self.bridges.get(&at).map(|_| FunctionKind::Bridge);
        bridge.or_else(|| self.others.get(&at).copied())
    }

    fn buses_below(&self, segment: Segment, bdf: Bdf) -> Option<BusRange> {
        self.bridges.get(&(segment.0, bdf.raw())).copied()
    }

    fn root_port(&self, segment: Segment, bdf: Bdf) -> RootPort {
        let above = self.ancestors(segment, bdf);
        if above
            .iter()
            .any(|b| self.conventional.contains(&(segment.0, b.raw())))
        {
            return RootPort::Conventional;
        }
        above
            .last()
            .map_or(RootPort::Integrated, |port| RootPort::Port(*port))
    }
}

pub fn bdf(bus: u8, device: u8, function: u8) -> Bdf {
    Bdf::new(bus, (device << 3) | function)
}

/// Root port 00:1c.0 with a switch below: upstream port 01:00.0, downstream ports 02:00.0 and
/// 02:01.0, an endpoint on bus 3 and one on bus 4. Root port 00:1d.0 with bus 0x10, where a bridge
/// leads to conventional PCI on bus 0x11. The same numbers again in segment 1, without bridges.
pub fn machine() -> Tree {
    let mut tree = Tree::default()
        .bridge(0, bdf(0, 0x1c, 0), 1, 4)
        .bridge(0, bdf(1, 0, 0), 2, 4)
        .bridge(0, bdf(2, 0, 0), 3, 3)
        .bridge(0, bdf(2, 1, 0), 4, 4)
        .bridge(0, bdf(0, 0x1d, 0), 0x10, 0x11)
        .bridge(0, bdf(0x10, 0, 0), 0x11, 0x11);
    tree.conventional.push((0, bdf(0x10, 0, 0).raw()));
    tree
}

#[test]
fn the_closest_claim_wins() {
    let bytes = table(&[
        // Everything else, listed first on purpose.
        drhd(1, 0, 0x1000, &[scope(3, 0, 0, &[(0x1f, 7)])]),
        // All below the root port.
        drhd(0, 0, 0x2000, &[bridge(0, &[(0x1c, 0)])]),
        // All below one downstream port of the switch, by its path.
        drhd(0, 0, 0x3000, &[bridge(0, &[(0x1c, 0), (0, 0), (1, 0)])]),
        // One function below the other port.
        drhd(
            0,
            0,
            0x4000,
            &[endpoint(0, &[(2, 0)]), endpoint(3, &[(0, 1)])],
        ),
        drhd(1, 1, 0x5000, &[]),
    ]);
    let dmar = Dmar::parse(&bytes).unwrap();
    let tree = machine();
    let unit = |segment, bdf| {
        dmar.unit_for(Segment(segment), bdf, &tree)
            .map(|u| u.register_base.raw())
    };
    assert_eq!(unit(0, bdf(0, 3, 0)), Some(0x1000));
    assert_eq!(unit(0, bdf(0, 0x1c, 0)), Some(0x2000));
    assert_eq!(unit(0, bdf(1, 0, 0)), Some(0x2000));
    assert_eq!(unit(0, bdf(3, 0, 0)), Some(0x2000));
    assert_eq!(unit(0, bdf(2, 1, 0)), Some(0x3000));
    assert_eq!(unit(0, bdf(4, 0, 0)), Some(0x3000));
    assert_eq!(unit(0, bdf(0, 2, 0)), Some(0x4000));
    assert_eq!(unit(0, bdf(3, 0, 1)), Some(0x4000));
    assert_eq!(unit(0, bdf(0x11, 5, 0)), Some(0x1000));
    // An I/O APIC's scope is no claim on the PCI function of the same number.
    assert_eq!(unit(0, bdf(0, 0x1f, 7)), Some(0x1000));
    // The same numbers elsewhere.
    assert_eq!(unit(1, bdf(0, 2, 0)), Some(0x5000));
    assert_eq!(unit(2, bdf(0, 2, 0)), None);
}

/// The kernel's own driver ignores the second description.
#[test]
fn a_unit_that_is_described_twice_has_what_both_say() {
    let bytes = table(&[
        drhd(0, 0, 0x1000, &[endpoint(0, &[(2, 0)])]),
        drhd(0, 0, 0x2000, &[bridge(0, &[(0x1c, 0)])]),
        drhd(0, 0, 0x1000, &[endpoint(0, &[(3, 0)])]),
        drhd(1, 0, 0x2000, &[]),
    ]);
    let dmar = Dmar::parse(&bytes).unwrap();
    let tree = machine();
    let bases: Vec<_> = dmar.units().map(|u| u.register_base.raw()).collect();
    assert_eq!(bases, [0x1000, 0x2000]);
    for (bdf, base, offset) in [
        (bdf(0, 2, 0), 0x1000, 0x30),
        (bdf(0, 3, 0), 0x1000, 0x30),
        (bdf(4, 0, 0), 0x2000, 0x48),
        (bdf(0, 4, 0), 0x2000, 0x48),
    ] {
        let unit = dmar.unit_for(Segment(0), bdf, &tree).unwrap();
        assert_eq!(unit.register_base, PhysAddr::new(base), "{bdf}");
        assert_eq!(unit.offset, offset, "{bdf}");
    }
}

#[test]
fn of_two_units_with_all_the_first_has_all() {
    let bytes = table(&[
        drhd(1, 0, 0x1000, &[]),
        drhd(1, 0, 0x2000, &[endpoint(0, &[(2, 0)])]),
    ]);
    let dmar = Dmar::parse(&bytes).unwrap();
    let unit = |bdf| dmar.unit_for(Segment(0), bdf, &machine());
    assert_eq!(unit(bdf(0, 3, 0)).unwrap().offset, 0x30);
    assert_eq!(unit(bdf(0, 2, 0)).unwrap().offset, 0x40);
}

#[test]
fn scopes_that_lead_nowhere_claim_nothing() {
    let bytes = table(&[
        drhd(
            0,
            0,
            0x1000,
            &[
                endpoint(0, &[]),
                endpoint(0, &[(0x22, 0)]),
                endpoint(0, &[(2, 8)]),
            ],
        ),
        rmrr(0, 0x5000, 0x5fff, &[endpoint(0, &[(0x22, 0)])]),
    ]);
    let dmar = Dmar::parse(&bytes).unwrap();
    let tree = machine();
    for raw in 0..=u16::MAX {
        let bdf = Bdf::from_raw(raw);
        assert_eq!(dmar.unit_for(Segment(0), bdf, &tree), None, "{bdf}");
        let regions = dmar.reserved_memory_of(Segment(0), bdf, &tree);
        assert_eq!(regions.count(), 0, "{bdf}");
    }
}

#[test]
fn scopes_name_what_they_say() {
    let other = FunctionKind::NonTransparentBridge;
    let tree = machine()
        .other(0, bdf(0, 2, 0), FunctionKind::Endpoint)
        .other(0, bdf(0, 3, 0), other);
    let check = |structure| {
        let bytes = table(&[structure]);
        Dmar::parse(&bytes).unwrap().check_scopes(&tree)
    };
    let (port, device) = ([(0x1c, 0)], [(2, 0)]);
    for scopes in [
        [endpoint(0, &device), bridge(0, &port)],
        // A bridge between machines may be called either way; what is not there as well.
        [endpoint(0, &[(3, 0)]), bridge(0, &[(3, 0)])],
        [endpoint(0, &[(9, 0)]), bridge(0, &[(9, 0)])],
        [scope(3, 0, 0, &port), scope(4, 0, 0, &device)],
    ] {
        assert_eq!(check(drhd(0, 0, 0x1000, &scopes)), Ok(()));
    }
    for (wrong, kind, named) in [
        (endpoint(0, &port), ScopeKind::Endpoint, bdf(0, 0x1c, 0)),
        (bridge(0, &device), ScopeKind::SubHierarchy, bdf(0, 2, 0)),
    ] {
        let scopes = [bridge(0, &port), wrong];
        for (structure, offset) in [
            (drhd(0, 0, 0x1000, &scopes), 0x48),
            (rmrr(0, 0x1000, 0x1fff, &scopes), 0x50),
            (flagged(2, 0, 0, &scopes), 0x40),
            (flagged(5, 0, 0, &scopes), 0x40),
        ] {
            let error = check(structure).unwrap_err();
            assert_eq!(error.kind, ErrorKind::ScopeMismatch { kind, bdf: named });
            assert_eq!(error.offset, offset);
        }
        // Elsewhere, and where nobody looks.
        assert_eq!(check(drhd(0, 1, 0x1000, &scopes)), Ok(()));
        assert_eq!(check(drhd(1, 0, 0x1000, &scopes)), Ok(()));
        assert_eq!(check(flagged(2, 1, 0, &scopes)), Ok(()));
        assert_eq!(check(flagged(6, 0, 0, &scopes)), Ok(()));
    }
    let bytes = table(&[drhd(0, 0, 0x1000, &[endpoint(0, &port)])]);
    assert_eq!(
        Dmar::parse(&bytes)
            .unwrap()
            .check_scopes(&tree)
            .unwrap_err()
            .to_string(),
        "DMAR: device scope at offset 0x40: 00:1c.0 is not an endpoint"
    );
}

#[test]
fn devices_of_the_acpi_namespace() {
    let bytes = table(&[
        drhd(
            0,
            0,
            0x1000,
            &[
                scope(5, 1, 0xf0, &[(0x15, 1)]),
                // Not declared, without a requester id, and not of the namespace.
                scope(5, 9, 0xf0, &[(0x15, 2)]),
                scope(5, 2, 0xf0, &[]),
                scope(5, 2, 0xf0, &[(0x20, 0)]),
                scope(1, 2, 0xf0, &[(0x15, 3)]),
            ],
        ),
        drhd(1, 0, 0x2000, &[scope(5, 3, 0, &[(0x1e, 0)])]),
        drhd(0, 0, 0x1000, &[scope(5, 2, 0xf0, &[(0x15, 7)])]),
        andd(1, b"\\_SB.I2C0\0"),
        andd(2, b"\\_SB.I2C1\0"),
        andd(3, b"\\_SB.DMA\0"),
    ]);
    let dmar = Dmar::parse(&bytes).unwrap();
    let of: Vec<Vec<_>> = dmar
        .units()
        .map(|unit| {
            dmar.namespace_devices_of(unit)
                .map(|(id, device)| (id, device.name))
                .collect()
        })
        .collect();
    let first: [(Bdf, &[u8]); 2] = [
        (bdf(0xf0, 0x15, 1), b"\\_SB.I2C0"),
        (bdf(0xf0, 0x15, 7), b"\\_SB.I2C1"),
    ];
    let second: [(Bdf, &[u8]); 1] = [(bdf(0, 0x1e, 0), b"\\_SB.DMA")];
    assert_eq!(of, [first.to_vec(), second.to_vec()]);
}

#[test]
fn endpoints_claim_nothing_below_them() {
    let bytes = table(&[drhd(0, 0, 0x1000, &[endpoint(0, &[(0x1c, 0)])])]);
    let dmar = Dmar::parse(&bytes).unwrap();
    let tree = machine();
    assert!(dmar.unit_for(Segment(0), bdf(0, 0x1c, 0), &tree).is_some());
    assert!(dmar.unit_for(Segment(0), bdf(1, 0, 0), &tree).is_none());
}

#[test]
fn reserved_memory_follows_its_scopes() {
    let bytes = table(&[
        rmrr(
            0,
            0x1000,
            0x1fff,
            &[endpoint(0, &[(0x14, 0)]), endpoint(0, &[(0x1a, 0)])],
        ),
        rmrr(0, 0x2000, 0x2fff, &[bridge(0, &[(0x1c, 0)])]),
        rmrr(1, 0x3000, 0x3fff, &[endpoint(0, &[(0x14, 0)])]),
        rmrr(0, 0x4000, 0x4fff, &[endpoint(0, &[(0x14, 0)])]),
    ]);
    let dmar = Dmar::parse(&bytes).unwrap();
    let tree = machine();
    let regions = |segment, bdf| -> Vec<u64> {
        dmar.reserved_memory_of(Segment(segment), bdf, &tree)
            .map(|r| r.base.raw())
            .collect()
    };
    assert_eq!(regions(0, bdf(0, 0x14, 0)), [0x1000, 0x4000]);
    assert_eq!(regions(0, bdf(0, 0x1a, 0)), [0x1000]);
    assert_eq!(regions(0, bdf(4, 0, 0)), [0x2000]);
    assert_eq!(regions(1, bdf(0, 0x14, 0)), [0x3000]);
    assert!(regions(0, bdf(0, 0x14, 1)).is_empty());
}

#[test]
fn ats() {
    let tree = machine();
    let below_port = bdf(4, 0, 0);
    let ats = |bytes: &[u8], segment, bdf| {
        Dmar::parse(bytes)
            .unwrap()
            .ats(Segment(segment), bdf, &tree)
    };

    let none = table(&[]);
    assert_eq!(ats(&none, 0, bdf(0, 2, 0)), Ats::Permitted);
    assert_eq!(ats(&none, 0, below_port), Ats::Denied);

    let all = table(&[flagged(2, 1, 0, &[])]);
    assert_eq!(ats(&all, 0, below_port), Ats::Permitted);
    assert_eq!(ats(&all, 0, bdf(0x11, 5, 0)), Ats::Denied);

    let one = table(&[flagged(2, 0, 0, &[bridge(0, &[(0x1c, 0)])])]);
    assert_eq!(ats(&one, 0, below_port), Ats::Permitted);
    assert_eq!(ats(&one, 0, bdf(0x10, 1, 0)), Ats::Denied);
    // The root port counts, not a port further down.
    let inner = table(&[flagged(2, 0, 0, &[bridge(0, &[(0x1c, 0), (0, 0), (1, 0)])])]);
    assert_eq!(ats(&inner, 0, below_port), Ats::Denied);
    let elsewhere = table(&[flagged(2, 1, 1, &[])]);
    assert_eq!(ats(&elsewhere, 0, below_port), Ats::Denied);

    let listed = |flags| table(&[flagged(5, flags, 0, &[endpoint(4, &[(0, 0)])])]);
    assert_eq!(ats(&listed(0), 0, below_port), Ats::Permitted);
    assert_eq!(ats(&listed(1), 0, below_port), Ats::Required);
    assert_eq!(ats(&listed(1), 0, bdf(4, 0, 1)), Ats::Denied);
    assert_eq!(ats(&listed(1), 1, bdf(4, 0, 0)), Ats::Permitted);
}

/// A random tree: each bus but the first hangs below a bridge on a lower one, buses below a bridge
/// being numbered right after it.
fn trees() -> impl Strategy<Value = Tree> {
    prop::collection::vec((0u8..3, 0u8..4), 0..12).prop_map(|pops| {
        let mut tree = Tree::default();
        // Buses that the next bridge may be on: the current one and those above it.
        let mut open: Vec<(u8, Bdf)> = vec![];
        let mut next = 1;
        for (pop, device) in pops {
            for _ in 0..pop {
                open.pop();
            }
            let bus = open.last().map_or(0, |(bus, _)| *bus);
            let at = bdf(bus, device, 0);
            if tree.bridges.contains_key(&(0, at.raw())) {
                continue;
            }
            tree = tree.bridge(0, at, next, next);
            for (_, above) in &open {
                tree.bridges.get_mut(&(0, above.raw())).unwrap().last = next;
            }
            open.push((next, at));
            next += 1;
        }
        tree
    })
}

/// What the specification says, in the other direction: from the device up.
fn expected(
    tree: &Tree,
    units: &[Vec<(bool, Bdf)>],
    all: Option<usize>,
    device: Bdf,
) -> Option<usize> {
    let claims = |wanted: Bdf, as_bridge: bool| {
        units.iter().position(|scopes| {
            scopes
                .iter()
                .any(|(is_bridge, bdf)| *bdf == wanted && (*is_bridge || !as_bridge))
        })
    };
    claims(device, false)
        .or_else(|| {
            tree.ancestors(Segment(0), device)
                .into_iter()
                .find_map(|b| claims(b, true))
        })
        .or(all)
}

proptest! {
    #![proptest_config(cases(2048))]
    #[test]
    fn agrees_with_a_walk_up_the_tree(
        tree in trees(),
        units in prop::collection::vec(prop::collection::vec((any::<bool>(), 0u8..12, 0u8..4), 0..3), 1..5),
        all in prop::option::of(0usize..5),
        bus in 0u8..12,
        device in 0u8..4,
    ) {
        let scopes: Vec<Vec<_>> = units.iter()
            .map(|unit| unit.iter().map(|(b, bus, device)| (*b, bdf(*bus, *device, 0))).collect())
            .collect();
        let all = all.filter(|i| *i < units.len());
        let structures: Vec<_> = units.iter().enumerate().map(|(i, unit)| {
            let scopes: Vec<_> = unit.iter()
                .map(|(b, bus, device)| scope(if *b { 2 } else { 1 }, 0, *bus, &[(*device, 0)]))
                .collect();
            drhd(u8::from(all == Some(i)), 0, (i as u64 + 1) << 12, &scopes)
        }).collect();
        let bytes = table(&structures);
        let dmar = Dmar::parse(&bytes).unwrap();
        let found = dmar.unit_for(Segment(0), bdf(bus, device, 0), &tree);
        let expect = expected(&tree, &scopes, all, bdf(bus, device, 0));
        prop_assert_eq!(found.map(|u| (u.register_base.raw() >> 12) as usize - 1), expect);
    }
}

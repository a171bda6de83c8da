// SPDX-License-Identifier: GPL-2.0

//! What holds for every table, whatever is in it. Fuzzing uses this file as well.

use siov_types::{Bdf, PhysAddr, Segment};
use siov_vtd::dmar::{
    BusRange, Dmar, FunctionKind, MemoryMap, MemoryUse, PciTopology, RootPort, Scopes, Structure,
};

/// Every function is a bridge to all buses, so that every path leads somewhere; every page is used
/// for something else.
struct Everywhere;

impl MemoryMap for Everywhere {
    fn use_of(&self, first: PhysAddr, last: PhysAddr) -> MemoryUse {
        assert!(first.is_aligned(4096) && last.raw() % 4096 == 4095 && first < last);
        match (first.raw() >> 12) % 3 {
            0 => MemoryUse::Reserved,
            1 => MemoryUse::Usable,
            _ => MemoryUse::Unlisted,
        }
    }
}

impl PciTopology for Everywhere {
    fn kind_of(&self, _: Segment, bdf: Bdf) -> Option<FunctionKind> {
        [
            None,
            Some(FunctionKind::Endpoint),
            Some(FunctionKind::Bridge),
            Some(FunctionKind::NonTransparentBridge),
        ][usize::from(bdf.raw() % 4)]
    }

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
pub fn read_all(bytes: &[u8]) {
    let dmar = match Dmar::parse(bytes) {
        Ok(dmar) => dmar,
        Err(error) => {
            assert!(error.offset <= bytes.len());
            assert!(!error.to_string().contains('\n'));
            return;
        }
    };
    let length = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
    assert!((48..=bytes.len()).contains(&length));
    let table = &bytes[..length];
    let mut structures = 0;
    for structure in dmar.structures() {
        structures += 1;
        let scopes: Option<Scopes<'_>> = match structure {
            Structure::Unit(unit) => {
                assert!(unit.register_base.raw() != 0 && unit.register_base.is_aligned(4096));
                assert!((48..length).contains(&unit.offset));
                Some(unit.scopes)
            }
            Structure::ReservedMemory(region) => Some(region.scopes),
            Structure::RootPortAts(ports) => {
                assert!(!ports.all_ports || ports.scopes.as_bytes().is_empty());
                Some(ports.scopes)
            }
            Structure::AtsCache(cache) => Some(cache.scopes),
            Structure::NamespaceDevice(device) => {
                assert!(inside(table, device.name) && !device.name.contains(&0));
                None
            }
            Structure::Proximity(_) | Structure::DeviceProperties | Structure::Unknown { .. } => {
                None
            }
        };
        if let Some(scopes) = scopes {
            assert!(scopes.as_bytes().is_empty() || inside(table, scopes.as_bytes()));
            let count = scopes.into_iter().map(|s| s.path().count()).sum::<usize>();
            assert!(count <= scopes.as_bytes().len() / 2);
        }
    }
    assert!(structures <= (length - 48) / 4);
    for region in dmar.reserved_memory() {
        assert!(region.base < region.limit && region.base.is_aligned(4096));
        assert_eq!(region.limit.raw() % 4096, 4095);
    }
    let bases: Vec<_> = dmar.units().map(|u| (u.segment, u.register_base)).collect();
    for (at, base) in bases.iter().enumerate() {
        assert!(!bases[..at].contains(base));
    }
    let mut remarks = 0;
    dmar.for_each_remark(&Everywhere, &Everywhere, |remark| {
        remarks += 1;
        let text = remark.to_string();
        assert!(text.is_ascii() && !text.contains(char::is_control));
    });
    // Two for the table, one for each scope, two for each structure.
    assert!(remarks <= 2 + length);
    if let Err(error) = dmar.check_scopes(&Everywhere) {
        assert!((48..length).contains(&error.offset));
    }
    for unit in dmar.units() {
        for (_, device) in dmar.namespace_devices_of(unit) {
            assert!(inside(table, device.name));
        }
    }
    for raw in [0, 8, 0x1234, 0xffff] {
        for segment in [Segment(0), Segment(1)] {
            let bdf = Bdf::from_raw(raw);
            if let Some(unit) = dmar.unit_for(segment, bdf, &Everywhere) {
                assert_eq!(unit.segment, segment);
            }
            dmar.ats(segment, bdf, &Everywhere);
            assert!(dmar.reserved_memory_of(segment, bdf, &Everywhere).count() <= structures);
        }
    }
}

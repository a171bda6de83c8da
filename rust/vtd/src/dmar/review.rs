// SPDX-License-Identifier: GPL-2.0

//! Looking for mistakes in a table that can be used.

use siov_types::{PhysAddr, Segment};

use super::matching::{PciTopology, RootPort};
use super::remark::{Name, Place, Remark, RemarkKind};
use super::scope::{DeviceScope, ScopeKind};
use super::structure::{NamespaceDevice, RemappingUnit, Structure};
use super::table::Dmar;

/// What the machine's memory map says of a range of physical addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryUse {
    /// It is reserved.
    Reserved,
    /// A part of it is memory that everybody may use.
    Usable,
    /// Neither.
    Unlisted,
}

/// The machine's memory map, as firmware has made it.
pub trait MemoryMap {
    /// What the range from `first` to `last` is used for.
    fn use_of(&self, first: PhysAddr, last: PhysAddr) -> MemoryUse;
}

impl<'a> Dmar<'a> {
    /// Calls `f` for each mistake, in the order of the table.
    pub fn for_each_remark(
        self,
        topology: &impl PciTopology,
        memory: &impl MemoryMap,
        mut f: impl FnMut(Remark<'a>),
    ) {
        let bits = self.width_in_bits();
        if bits > 64 {
            f(Remark {
                place: Place::Table,
                kind: RemarkKind::HostAddressWidth { bits },
            });
        }
        let mut walk = self.walk();
        while !walk.is_at_end() {
            let offset = walk.offset;
            // Checked in `parse`.
            let Ok(structure) = walk.advance() else {
                return;
            };
            let kind = structure.kind();
            for remark in self.of_structure(structure, memory).into_iter().flatten() {
                let place = Place::Structure { kind, offset };
                f(Remark {
                    place,
                    kind: remark,
                });
            }
            if let Some((segment, scopes)) = structure.scopes() {
                for scope in scopes {
                    if let Some(remark) = self.of_scope(segment, scope, topology) {
                        let place = Place::Scope {
                            kind,
                            offset,
                            scope: scope.offset,
                        };
                        f(Remark {
                            place,
                            kind: remark,
                        });
                    }
                }
            }
        }
        if walk.is_at_zeros() {
            let offset = walk.offset;
            f(Remark {
                place: Place::Table,
                kind: RemarkKind::TrailingZeros { offset },
            });
        }
    }

    fn of_structure(
        self,
        structure: Structure<'a>,
        memory: &impl MemoryMap,
    ) -> [Option<RemarkKind<'a>>; 2] {
        match structure {
            Structure::Unit(unit) => [self.of_unit(unit), None],
            Structure::ReservedMemory(region) => {
                let wrong = region.in_pages().and_then(|pages| {
                    let (base, limit) = (pages.base, pages.limit);
                    match memory.use_of(base, limit) {
                        MemoryUse::Reserved => None,
                        MemoryUse::Usable => Some(RemarkKind::ReservedMemoryUsable { base, limit }),
                        MemoryUse::Unlisted => {
                            Some(RemarkKind::ReservedMemoryUnlisted { base, limit })
                        }
                    }
                });
                [region.remark(), wrong]
            }
            Structure::Proximity(proximity) => {
                let base = proximity.register_base;
                let known = self.descriptions().any(|unit| unit.register_base == base);
                let wrong = (!known).then_some(RemarkKind::ProximityWithoutUnit { base });
                [wrong, None]
            }
            Structure::NamespaceDevice(device) => [self.of_namespace_device(device), None],
            Structure::RootPortAts(_)
            | Structure::AtsCache(_)
            | Structure::DeviceProperties
            | Structure::Unknown { .. } => [None, None],
        }
    }

    fn of_unit(self, unit: RemappingUnit<'a>) -> Option<RemarkKind<'a>> {
        let first = self.first_description(unit);
        if first.offset != unit.offset {
            return Some(RemarkKind::UnitTwice {
                base: unit.register_base,
                other: first.offset,
            });
        }
        let owner = self
            .descriptions()
            .find(|other| other.include_all && other.segment == unit.segment)?;
        (unit.include_all && !owner.is(&unit)).then_some(RemarkKind::IncludeAllTwice {
            segment: unit.segment,
            other: owner.offset,
        })
    }

    fn of_namespace_device(self, device: NamespaceDevice<'a>) -> Option<RemarkKind<'a>> {
        let number = device.number;
        let names_it = |scope: DeviceScope<'_>| {
            scope.enumeration_id == number && scope.requester_id().is_some()
        };
        let is_claimed = self
            .descriptions()
            .flat_map(|unit| unit.scopes)
            .any(names_it);
        (!is_claimed).then_some(RemarkKind::NamespaceUnclaimed {
            number,
            name: Name(device.name),
        })
    }

    fn of_scope(
        self,
        segment: Segment,
        scope: DeviceScope<'a>,
        topology: &impl PciTopology,
    ) -> Option<RemarkKind<'a>> {
        if let Some(remark) = scope.remark() {
            return Some(remark);
        }
        let number = scope.enumeration_id;
        if scope.kind == ScopeKind::Namespace {
            let is_declared = self.namespace_devices().any(|d| d.number == number);
            return (!is_declared).then_some(RemarkKind::NamespaceUndeclared { number });
        }
        if scope.path().count() != 1 {
            return None;
        }
        let bdf = scope.function(segment, topology)?;
        topology.kind_of(segment, bdf)?;
        (topology.root_port(segment, bdf) != RootPort::Integrated)
            .then_some(RemarkKind::ScopeBelowBridge { bdf })
    }
}

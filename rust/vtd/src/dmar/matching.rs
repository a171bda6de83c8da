// SPDX-License-Identifier: GPL-2.0

//! Which parts of the table are about a given device.
//!
//! A virtual function is where its physical function is: pass the latter's id (VT-d spec, 8.3.1;
//! Linux: `dmar_find_matched_drhd_unit`).

use siov_types::{Bdf, Segment};

use super::error::{Error, ErrorKind};
use super::scope::{DeviceScope, ScopeKind, Scopes};
use super::structure::{NamespaceDevice, RemappingUnit, ReservedMemory, Structure};
use super::table::Dmar;

/// The buses below a bridge, its secondary to its subordinate bus number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BusRange {
    /// The bus right below the bridge.
    pub first: u8,
    /// The highest bus below it.
    pub last: u8,
}

impl BusRange {
    const fn contains(self, bus: u8) -> bool {
        self.first <= bus && bus <= self.last
    }

    /// Number of buses, less one.
    const fn extent(self) -> u8 {
        self.last.saturating_sub(self.first)
    }
}

/// What is upstream of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RootPort {
    /// Nothing: it sits on a root bus, integrated into the root complex.
    Integrated,
    /// This root port, with nothing but PCI Express in between.
    Port(Bdf),
    /// Conventional PCI, which does not carry ATS.
    Conventional,
}

/// What a function is, as a device scope distinguishes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FunctionKind {
    /// A device.
    Endpoint,
    /// A bridge: its header is that of a bridge.
    Bridge,
    /// A device that calls itself a bridge, as those do that connect two machines.
    NonTransparentBridge,
}

impl FunctionKind {
    /// Whether such a function may be named by a scope of this kind.
    pub(super) const fn suits(self, scope: ScopeKind) -> bool {
        match scope {
            ScopeKind::Endpoint => !matches!(self, Self::Bridge),
            ScopeKind::SubHierarchy => !matches!(self, Self::Endpoint),
            _ => true,
        }
    }
}

/// The PCI hierarchy as the kernel has found it.
pub trait PciTopology {
    /// What a function is; `None` when it is not there.
    fn kind_of(&self, segment: Segment, bdf: Bdf) -> Option<FunctionKind>;

    /// The buses below a function; `None` when it is no bridge, or not there.
    fn buses_below(&self, segment: Segment, bdf: Bdf) -> Option<BusRange>;

    /// What is upstream of a function.
    fn root_port(&self, segment: Segment, bdf: Bdf) -> RootPort;
}

/// Whether a device may use ATS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ats {
    /// No.
    Denied,
    /// Yes.
    Permitted,
    /// Yes, and it does not work as intended without.
    Required,
}

/// How closely a scope fits a device; less is closer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fit {
    /// It names the device.
    Exact,
    /// It names a bridge above it, with this many buses more than one below.
    Below(u8),
}

impl DeviceScope<'_> {
    /// The PCI function that it names.
    pub(super) fn function(self, segment: Segment, topology: &impl PciTopology) -> Option<Bdf> {
        match self.kind {
            ScopeKind::Endpoint | ScopeKind::SubHierarchy => {
                self.resolve(|bridge| Some(topology.buses_below(segment, bridge)?.first))
            }
            _ => None,
        }
    }

    fn fit(self, segment: Segment, bdf: Bdf, topology: &impl PciTopology) -> Option<Fit> {
        let named = self.function(segment, topology)?;
        if named == bdf {
            return Some(Fit::Exact);
        }
        let below_it = self.kind == ScopeKind::SubHierarchy;
        let buses = topology.buses_below(segment, named)?;
        (below_it && buses.contains(bdf.bus())).then_some(Fit::Below(buses.extent()))
    }
}

impl Scopes<'_> {
    fn fit(self, segment: Segment, bdf: Bdf, topology: &impl PciTopology) -> Option<Fit> {
        self.into_iter()
            .filter_map(|scope| scope.fit(segment, bdf, topology))
            .min()
    }
}

impl<'a> Dmar<'a> {
    /// The unit that translates a function's requests: the one that names it, or else names the
    /// closest bridge above it, or else includes all of its segment. `None` when its requests are
    /// not translated.
    pub fn unit_for(
        self,
        segment: Segment,
        bdf: Bdf,
        topology: &impl PciTopology,
    ) -> Option<RemappingUnit<'a>> {
        let of_segment = || self.descriptions().filter(|unit| unit.segment == segment);
        of_segment()
            .filter_map(|unit| Some((unit.scopes.fit(segment, bdf, topology)?, unit)))
            .min_by_key(|(fit, _)| *fit)
            .map(|(_, unit)| unit)
            .or_else(|| of_segment().find(|unit| unit.include_all))
            .map(|unit| self.first_description(unit))
    }

    /// The devices of the ACPI namespace whose requests a unit translates, with the requester id of
    /// each.
    pub fn namespace_devices_of(
        self,
        unit: RemappingUnit<'a>,
    ) -> impl Iterator<Item = (Bdf, NamespaceDevice<'a>)> + use<'a> {
        self.descriptions()
            .filter(move |other| other.is(&unit))
            .flat_map(|description| description.scopes)
            .filter_map(move |scope| {
                let number = scope.enumeration_id;
                let device = self.namespace_devices().find(|d| d.number == number)?;
                Some((scope.requester_id()?, device))
            })
    }

    /// Checks that what device scopes name is of the kind that they say, where it is there.
    ///
    /// # Errors
    ///
    /// The first scope that names a bridge as a device, or a device as a bridge: it is not known
    /// which unit translates what is below, if anything is. The kernel's own driver refuses the
    /// table, too.
    pub fn check_scopes(self, topology: &impl PciTopology) -> Result<(), Error> {
        for structure in self.structures() {
            let (segment, scopes) = match structure {
                // Nobody looks at what it names.
                Structure::Unit(unit) if unit.include_all => continue,
                other => match other.scopes() {
                    Some(found) => found,
                    None => continue,
                },
            };
            for scope in scopes {
                let found = scope.function(segment, topology);
                let Some((bdf, function)) =
                    found.and_then(|bdf| Some((bdf, topology.kind_of(segment, bdf)?)))
                else {
                    continue;
                };
                if !function.suits(scope.kind) {
                    let kind = ErrorKind::ScopeMismatch {
                        kind: scope.kind,
                        bdf,
                    };
                    let offset = scope.offset;
                    return Err(Error { offset, kind });
                }
            }
        }
        Ok(())
    }

    /// The reserved memory that has to stay mapped for a function.
    pub fn reserved_memory_of<'t, T: PciTopology>(
        self,
        segment: Segment,
        bdf: Bdf,
        topology: &'t T,
    ) -> impl Iterator<Item = ReservedMemory<'a>> + use<'a, 't, T> {
        self.reserved_memory().filter(move |region| {
            region.segment == segment && region.scopes.fit(segment, bdf, topology).is_some()
        })
    }

    /// Whether a function may use ATS: it is listed as having an address translation cache, or
    /// integrated, or below a root port that supports ATS.
    pub fn ats(self, segment: Segment, bdf: Bdf, topology: &impl PciTopology) -> Ats {
        let cache = self.structures().find_map(|s| match s {
            Structure::AtsCache(cache) if cache.segment == segment => cache
                .scopes
                .fit(segment, bdf, topology)
                .map(|_| cache.required),
            _ => None,
        });
        let port = match (cache, topology.root_port(segment, bdf)) {
            (Some(true), _) => return Ats::Required,
            (Some(false), _) | (None, RootPort::Integrated) => return Ats::Permitted,
            (None, RootPort::Conventional) => return Ats::Denied,
            (None, RootPort::Port(port)) => port,
        };
        let supported = self.structures().any(|s| match s {
            Structure::RootPortAts(ports) if ports.segment == segment => {
                ports.all_ports || ports.scopes.fit(segment, port, topology) == Some(Fit::Exact)
            }
            _ => false,
        });
        if supported {
            Ats::Permitted
        } else {
            Ats::Denied
        }
    }
}

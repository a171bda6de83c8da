// SPDX-License-Identifier: GPL-2.0

//! Remapping structures, one after the other in the table (VT-d spec, 8.2 to 8.9).

use core::fmt;

use siov_types::{PhysAddr, Segment, PAGE_SIZE};

use super::error::{Error, ErrorKind};
use super::remark::RemarkKind;
use super::scope::Scopes;

/// Bytes of type and length, which every structure starts with.
const HEADER: usize = 4;

/// Type field of a structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StructureKind {
    /// DMA remapping hardware unit definition.
    Drhd,
    /// Reserved memory region reporting.
    Rmrr,
    /// Root port ATS capability reporting.
    Atsr,
    /// Remapping hardware static affinity.
    Rhsa,
    /// ACPI namespace device declaration.
    Andd,
    /// SoC integrated address translation cache reporting.
    Satc,
    /// SoC integrated device property reporting.
    Sidp,
    /// Reserved for later revisions; to be skipped.
    Unknown(u16),
}

impl StructureKind {
    const fn from_raw(raw: u16) -> Self {
        match raw {
            0 => Self::Drhd,
            1 => Self::Rmrr,
            2 => Self::Atsr,
            3 => Self::Rhsa,
            4 => Self::Andd,
            5 => Self::Satc,
            6 => Self::Sidp,
            other => Self::Unknown(other),
        }
    }

    /// The least length that such a structure has, in bytes.
    const fn minimum(self) -> usize {
        match self {
            Self::Drhd => RemappingUnit::FIXED,
            Self::Rmrr => ReservedMemory::FIXED,
            Self::Rhsa => Proximity::FIXED,
            Self::Atsr | Self::Andd | Self::Satc => SHORT,
            Self::Sidp | Self::Unknown(_) => HEADER,
        }
    }
}

impl fmt::Display for StructureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drhd => "DRHD",
            Self::Rmrr => "RMRR",
            Self::Atsr => "ATSR",
            Self::Rhsa => "RHSA",
            Self::Andd => "ANDD",
            Self::Satc => "SATC",
            Self::Sidp => "SIDP",
            Self::Unknown(raw) => return write!(f, "type {raw:#x}"),
        })
    }
}

/// Fixed bytes of the structures whose fields fit two doublewords.
const SHORT: usize = 8;

/// DRHD: a remapping unit (VT-d spec, 8.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RemappingUnit<'a> {
    /// Offset of the structure in the table.
    pub offset: usize,
    /// The segment whose devices it translates.
    pub segment: Segment,
    /// Where its registers are.
    pub register_base: PhysAddr,
    /// Bytes of register space, a power of two of pages.
    pub register_size: u64,
    /// INCLUDE_PCI_ALL: it translates all devices of the segment that no other unit claims.
    pub include_all: bool,
    /// The devices that it claims.
    pub scopes: Scopes<'a>,
}

impl RemappingUnit<'_> {
    const FIXED: usize = 16;

    /// Whether `other` is the same unit, described once more.
    pub(super) fn is(&self, other: &RemappingUnit<'_>) -> bool {
        self.segment == other.segment && self.register_base == other.register_base
    }

    /// Last byte of the register space.
    pub(super) fn register_last(&self) -> Option<PhysAddr> {
        self.register_base.checked_add(self.register_size - 1)
    }
}

/// RMRR: memory that firmware has some devices access, and that has to stay mapped for them (VT-d
/// spec, 8.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReservedMemory<'a> {
    /// The segment of the devices.
    pub segment: Segment,
    /// First byte, which firmware should have aligned to 4 KiB.
    pub base: PhysAddr,
    /// Last byte, which should be just before a multiple of 4 KiB.
    pub limit: PhysAddr,
    /// The devices.
    pub scopes: Scopes<'a>,
}

impl ReservedMemory<'_> {
    const FIXED: usize = 24;

    /// The same in whole pages; `None` when it is empty.
    pub fn in_pages(self) -> Option<Self> {
        if self.limit <= self.base {
            return None;
        }
        let within = PAGE_SIZE - 1;
        Some(Self {
            base: PhysAddr::new(self.base.raw() & !within),
            limit: PhysAddr::new(self.limit.raw() | within),
            ..self
        })
    }

    /// What is wrong with its range.
    pub(super) fn remark(self) -> Option<RemarkKind<'static>> {
        let Self { base, limit, .. } = self;
        match self.in_pages() {
            None => Some(RemarkKind::ReservedMemoryEmpty { base, limit }),
            Some(pages) if pages != self => {
                Some(RemarkKind::ReservedMemoryMisaligned { base, limit })
            }
            Some(_) => None,
        }
    }
}

/// ATSR: root ports below which ATS may be used (VT-d spec, 8.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RootPortAts<'a> {
    /// The segment of the root ports.
    pub segment: Segment,
    /// ALL_PORTS: all root ports of the segment.
    pub all_ports: bool,
    /// The root ports; empty with `all_ports`, where nobody looks at them.
    pub scopes: Scopes<'a>,
}

/// RHSA: which NUMA node a remapping unit belongs to (VT-d spec, 8.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proximity {
    /// The unit, by its registers.
    pub register_base: PhysAddr,
    /// Proximity domain, as in the ACPI SRAT.
    pub domain: u32,
}

impl Proximity {
    const FIXED: usize = 20;
}

/// ANDD: the name behind the number of a namespace device in a device scope (VT-d spec, 8.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NamespaceDevice<'a> {
    /// The number.
    pub number: u8,
    /// The ACPI object's name, without its terminator.
    pub name: &'a [u8],
}

/// SATC: devices of the SoC with an address translation cache of their own (VT-d spec, 8.8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AtsCache<'a> {
    /// The segment of the devices.
    pub segment: Segment,
    /// ATC_REQUIRED: the devices do not work as intended without ATS.
    pub required: bool,
    /// The devices.
    pub scopes: Scopes<'a>,
}

/// A remapping structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Structure<'a> {
    /// DRHD.
    Unit(RemappingUnit<'a>),
    /// RMRR.
    ReservedMemory(ReservedMemory<'a>),
    /// ATSR.
    RootPortAts(RootPortAts<'a>),
    /// RHSA.
    Proximity(Proximity),
    /// ANDD.
    NamespaceDevice(NamespaceDevice<'a>),
    /// SATC.
    AtsCache(AtsCache<'a>),
    /// SIDP: properties of devices of the SoC (VT-d spec, 8.9). None of them matters to this
    /// crate, and none is looked at.
    DeviceProperties,
    /// Of a kind that later revisions define. The specification has software skip it.
    Unknown {
        /// Type field.
        kind: u16,
        /// Offset of the structure in the table.
        offset: usize,
    },
}

impl<'a> Structure<'a> {
    /// Splits the first structure off `bytes`, which lie at `offset` in the table.
    pub(super) fn split_first(bytes: &'a [u8], offset: usize) -> Result<(Self, &'a [u8]), Error> {
        let error = |kind| Error { offset, kind };
        let left = bytes.len();
        let Some(&[t0, t1, l0, l1]) = bytes.first_chunk() else {
            return Err(error(ErrorKind::StructureHeader { left }));
        };
        let kind = StructureKind::from_raw(u16::from_le_bytes([t0, t1]));
        let length = u16::from_le_bytes([l0, l1]);
        let too_short = error(ErrorKind::StructureTooShort {
            kind,
            length,
            minimum: kind.minimum(),
        });
        if usize::from(length) < HEADER {
            return Err(too_short);
        }
        let Some((this, rest)) = bytes.split_at_checked(usize::from(length)) else {
            return Err(error(ErrorKind::StructureTruncated { kind, length, left }));
        };
        match Self::parse(kind, this, offset)? {
            Some(structure) => Ok((structure, rest)),
            None => Err(too_short),
        }
    }

    /// `None` when `this` is too short for its kind.
    fn parse(kind: StructureKind, this: &'a [u8], offset: usize) -> Result<Option<Self>, Error> {
        match kind {
            StructureKind::Drhd => Self::parse_unit(this, offset),
            StructureKind::Rmrr => Self::parse_reserved_memory(this, offset),
            StructureKind::Rhsa => Ok(Self::parse_proximity(this)),
            StructureKind::Andd => Self::parse_namespace_device(this, offset),
            StructureKind::Atsr => Self::parse_root_ports(this, offset),
            StructureKind::Satc => Self::parse_ats_cache(this, offset),
            StructureKind::Sidp => Ok(Some(Self::DeviceProperties)),
            StructureKind::Unknown(kind) => Ok(Some(Self::Unknown { kind, offset })),
        }
    }

    fn parse_unit(this: &'a [u8], offset: usize) -> Result<Option<Self>, Error> {
        let Some((fixed, scopes)) = this.split_first_chunk::<{ RemappingUnit::FIXED }>() else {
            return Ok(None);
        };
        let [_, _, _, _, flags, size, s0, s1, base @ ..] = *fixed;
        let unit = RemappingUnit {
            offset,
            segment: Segment(u16::from_le_bytes([s0, s1])),
            register_base: PhysAddr::new(u64::from_le_bytes(base)),
            // Bits 7:4 are reserved.
            register_size: PAGE_SIZE << (size & 0xf),
            include_all: flags & 1 != 0,
            scopes: Scopes::parse(scopes, offset.saturating_add(RemappingUnit::FIXED))?,
        };
        let base = unit.register_base;
        if base.raw() == 0 || !base.is_aligned(PAGE_SIZE) || unit.register_last().is_none() {
            let kind = ErrorKind::RegisterBase { base };
            return Err(Error { offset, kind });
        }
        Ok(Some(Self::Unit(unit)))
    }

    fn parse_reserved_memory(this: &'a [u8], offset: usize) -> Result<Option<Self>, Error> {
        let Some((fixed, scopes)) = this.split_first_chunk::<{ ReservedMemory::FIXED }>() else {
            return Ok(None);
        };
        let [_, _, _, _, _, _, s0, s1, range @ ..] = *fixed;
        // Base in the low half, limit in the high one.
        let range = u128::from_le_bytes(range);
        let base = PhysAddr::new(range as u64);
        let limit = PhysAddr::new((range >> 64) as u64);
        Ok(Some(Self::ReservedMemory(ReservedMemory {
            segment: Segment(u16::from_le_bytes([s0, s1])),
            base,
            limit,
            scopes: Scopes::parse(scopes, offset.saturating_add(ReservedMemory::FIXED))?,
        })))
    }

    fn parse_proximity(this: &'a [u8]) -> Option<Self> {
        let &[_, _, _, _, _, _, _, _, b0, b1, b2, b3, b4, b5, b6, b7, domain @ ..] =
            this.first_chunk::<{ Proximity::FIXED }>()?;
        Some(Self::Proximity(Proximity {
            register_base: PhysAddr::new(u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7])),
            domain: u32::from_le_bytes(domain),
        }))
    }

    fn parse_namespace_device(this: &'a [u8], offset: usize) -> Result<Option<Self>, Error> {
        let Some((&[.., number], name)) = this.split_first_chunk::<SHORT>() else {
            return Ok(None);
        };
        let end = name.iter().position(|byte| *byte == 0);
        match end.and_then(|end| name.get(..end)) {
            Some(name) => Ok(Some(Self::NamespaceDevice(NamespaceDevice {
                number,
                name,
            }))),
            None => Err(Error {
                offset,
                kind: ErrorKind::NameUnterminated,
            }),
        }
    }

    fn parse_root_ports(this: &'a [u8], offset: usize) -> Result<Option<Self>, Error> {
        let Some((fixed, scopes)) = this.split_first_chunk::<SHORT>() else {
            return Ok(None);
        };
        let (segment, all_ports) = flagged(*fixed);
        let scopes = if all_ports {
            Scopes::EMPTY
        } else {
            Scopes::parse(scopes, offset.saturating_add(SHORT))?
        };
        Ok(Some(Self::RootPortAts(RootPortAts {
            segment,
            all_ports,
            scopes,
        })))
    }

    fn parse_ats_cache(this: &'a [u8], offset: usize) -> Result<Option<Self>, Error> {
        let Some((fixed, scopes)) = this.split_first_chunk::<SHORT>() else {
            return Ok(None);
        };
        let (segment, required) = flagged(*fixed);
        Ok(Some(Self::AtsCache(AtsCache {
            segment,
            required,
            scopes: Scopes::parse(scopes, offset.saturating_add(SHORT))?,
        })))
    }

    /// Its kind.
    pub(super) const fn kind(self) -> StructureKind {
        match self {
            Self::Unit(_) => StructureKind::Drhd,
            Self::ReservedMemory(_) => StructureKind::Rmrr,
            Self::RootPortAts(_) => StructureKind::Atsr,
            Self::Proximity(_) => StructureKind::Rhsa,
            Self::NamespaceDevice(_) => StructureKind::Andd,
            Self::AtsCache(_) => StructureKind::Satc,
            Self::DeviceProperties => StructureKind::Sidp,
            Self::Unknown { kind, .. } => StructureKind::Unknown(kind),
        }
    }

    /// The segment that its device scopes are about, and the scopes; `None` for kinds without.
    pub(super) const fn scopes(self) -> Option<(Segment, Scopes<'a>)> {
        match self {
            Self::Unit(unit) => Some((unit.segment, unit.scopes)),
            Self::ReservedMemory(region) => Some((region.segment, region.scopes)),
            Self::RootPortAts(ports) => Some((ports.segment, ports.scopes)),
            Self::AtsCache(cache) => Some((cache.segment, cache.scopes)),
            Self::Proximity(_)
            | Self::NamespaceDevice(_)
            | Self::DeviceProperties
            | Self::Unknown { .. } => None,
        }
    }
}

/// Segment and lowest flag of an ATSR or SATC.
const fn flagged(fixed: [u8; SHORT]) -> (Segment, bool) {
    let [_, _, _, _, flags, _, s0, s1] = fixed;
    (Segment(u16::from_le_bytes([s0, s1])), flags & 1 != 0)
}

// SPDX-License-Identifier: GPL-2.0

//! The table as a whole (VT-d spec, 8.1).

use bitflags::bitflags;
use siov_types::PhysAddr;

use super::error::{Error, ErrorKind};
use super::structure::{Proximity, RemappingUnit, ReservedMemory, Structure};

/// Bytes before the first remapping structure: the header of ACPI tables, and three fields.
const HEADER: usize = 48;

/// More remapping units than this are refused, as Linux does (`DMAR_UNITS_SUPPORTED`): units are
/// compared with each other.
const MAX_UNITS: usize = 1024;

bitflags! {
    /// Flags of the table (VT-d spec, 8.1).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct DmarFlags: u8 {
        /// Interrupt remapping is supported by the platform.
        const INTR_REMAP = 1 << 0;
        /// Firmware asks for interrupts to stay in xAPIC mode.
        const X2APIC_OPT_OUT = 1 << 1;
        /// Firmware asks for DMA to be restricted to reserved memory until a driver maps more.
        const DMA_CTRL_PLATFORM_OPT_IN = 1 << 2;
    }
}

/// A DMAR table that has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Dmar<'a> {
    host_address_width: u8,
    flags: DmarFlags,
    structures: &'a [u8],
}

impl<'a> Dmar<'a> {
    /// Checks `bytes`, which may go on after the table, all but its checksum.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong. Nothing of such a table should be used: what firmware got
    /// wrong in one place it may have in others, and a device behind the wrong unit is not
    /// isolated.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let this = Self::split(bytes)?;
        this.check()?;
        Ok(this)
    }

    /// Takes the header off, and checks that.
    fn split(bytes: &'a [u8]) -> Result<Self, Error> {
        let error = |kind| Error { offset: 0, kind };
        if !bytes.starts_with(b"DMAR") {
            return Err(error(ErrorKind::Signature));
        }
        let table = Self::extent(bytes)?;
        let Some((header, structures)) = table.split_first_chunk::<HEADER>() else {
            let length = table.len();
            return Err(error(ErrorKind::TableTooShort { length }));
        };
        let [.., width, flags, _, _, _, _, _, _, _, _, _, _] = *header;
        // The field holds one less than the width. No page fits below 12 bits.
        let bits = u16::from(width) + 1;
        if !(12..=64).contains(&bits) {
            return Err(error(ErrorKind::HostAddressWidth { bits }));
        }
        Ok(Self {
            host_address_width: width.saturating_add(1),
            flags: DmarFlags::from_bits_truncate(flags),
            structures,
        })
    }

    /// The table in `bytes`, for which [`Self::parse`] has succeeded; an empty one for others.
    pub(super) fn from_checked(bytes: &'a [u8]) -> Self {
        Self::split(bytes).unwrap_or(Self {
            host_address_width: 0,
            flags: DmarFlags::empty(),
            structures: &[],
        })
    }

    /// The bytes that the length in the header says.
    fn extent(bytes: &[u8]) -> Result<&[u8], Error> {
        let error = |kind| Error { offset: 0, kind };
        let available = bytes.len();
        let Some(&[_, _, _, _, length @ ..]) = bytes.first_chunk::<8>() else {
            return Err(error(ErrorKind::TableTooShort { length: available }));
        };
        let length = u32::from_le_bytes(length) as usize;
        bytes
            .get(..length)
            .ok_or(error(ErrorKind::TableTruncated { length, available }))
    }

    /// Whether the bytes of the table add up to 0, as in every ACPI table. ACPI code has usually
    /// checked that before.
    ///
    /// # Errors
    ///
    /// When `bytes` are fewer than the table, so that there is nothing to add up.
    pub fn checksum_is_valid(bytes: &[u8]) -> Result<bool, Error> {
        let table = Self::extent(bytes)?;
        Ok(table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0)
    }

    fn check(self) -> Result<(), Error> {
        let mut units = 0;
        let mut left = self.structures;
        let mut offset = HEADER;
        while !left.is_empty() {
            let (structure, rest) = Structure::split_first(left, offset)?;
            if let Structure::Unit(unit) = structure {
                if units == MAX_UNITS {
                    let kind = ErrorKind::TooManyUnits;
                    return Err(Error { offset, kind });
                }
                self.check_against_earlier(unit, units)?;
                units += 1;
            }
            // A structure is never empty, so this ends.
            offset = offset.saturating_add(left.len() - rest.len());
            left = rest;
        }
        Ok(())
    }

    fn check_against_earlier(self, unit: RemappingUnit<'_>, earlier: usize) -> Result<(), Error> {
        for other in self.units().take(earlier) {
            let kind = if unit.register_base <= other.register_last().unwrap_or_default()
                && other.register_base <= unit.register_last().unwrap_or_default()
            {
                ErrorKind::RegisterOverlap {
                    base: unit.register_base,
                    other: other.offset,
                }
            } else if unit.include_all && other.include_all && unit.segment == other.segment {
                ErrorKind::IncludeAllTwice {
                    segment: unit.segment,
                    other: other.offset,
                }
            } else {
                continue;
            };
            return Err(Error {
                offset: unit.offset,
                kind,
            });
        }
        Ok(())
    }

    /// Number of bits of a physical address that DMA can reach.
    pub const fn host_address_width(self) -> u8 {
        self.host_address_width
    }

    /// Flags of the table.
    pub const fn flags(self) -> DmarFlags {
        self.flags
    }

    /// All remapping structures, in the order of the table.
    pub fn structures(self) -> impl Iterator<Item = Structure<'a>> + use<'a> {
        let mut left = self.structures;
        let mut offset = HEADER;
        core::iter::from_fn(move || {
            // Checked in `parse`: the only error left is that there is nothing more.
            let (structure, rest) = Structure::split_first(left, offset).ok()?;
            offset = offset.saturating_add(left.len() - rest.len());
            left = rest;
            Some(structure)
        })
    }

    /// The remapping units.
    pub fn units(self) -> impl Iterator<Item = RemappingUnit<'a>> + use<'a> {
        self.structures().filter_map(|s| match s {
            Structure::Unit(unit) => Some(unit),
            _ => None,
        })
    }

    /// The reserved memory of all devices.
    pub fn reserved_memory(self) -> impl Iterator<Item = ReservedMemory<'a>> + use<'a> {
        self.structures().filter_map(|s| match s {
            Structure::ReservedMemory(region) => Some(region),
            _ => None,
        })
    }

    /// The proximity domain of the unit with these registers; `None` when firmware does not say.
    pub fn proximity_domain(self, register_base: PhysAddr) -> Option<u32> {
        self.structures().find_map(|s| match s {
            Structure::Proximity(Proximity {
                register_base: base,
                domain,
            }) if base == register_base => Some(domain),
            _ => None,
        })
    }
}

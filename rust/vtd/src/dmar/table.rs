// SPDX-License-Identifier: GPL-2.0

//! The table as a whole (VT-d spec, 8.1).

use bitflags::bitflags;
use siov_types::PhysAddr;

use super::error::{Error, ErrorKind};
use super::structure::{NamespaceDevice, Proximity, RemappingUnit, ReservedMemory, Structure};

/// Bytes before the first remapping structure: the header of ACPI tables, and three fields.
const HEADER: usize = 48;

/// More remapping units than this are refused, as the kernel's own driver does
/// (`DMAR_UNITS_SUPPORTED`): units are compared with each other. One that is described twice counts
/// twice here.
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
        /// Firmware asks for requests not to be translated (Linux: `DMAR_REMAP_OPT_OUT`).
        const REMAP_OPT_OUT = 1 << 3;
    }
}

/// A DMAR table that has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Dmar<'a> {
    /// As the table has it: one less than the width.
    width: u8,
    flags: DmarFlags,
    structures: &'a [u8],
}

impl<'a> Dmar<'a> {
    /// Checks `bytes`, which may go on after the table, all but its checksum.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong and makes it impossible to know what the table says: what has
    /// no place, or ends where it must not. The kernel's own driver refuses such a table, too,
    /// reads what is not in it, or does not come to an end. What it uses in spite of mistakes is
    /// used here as well ([`Self::for_each_remark`]).
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
        let this = Self {
            width,
            flags: DmarFlags::from_bits_truncate(flags),
            structures,
        };
        // No page fits below 12 bits.
        let bits = this.width_in_bits();
        if bits < 12 {
            return Err(error(ErrorKind::HostAddressWidth { bits }));
        }
        Ok(this)
    }

    /// The table in `bytes`, for which [`Self::parse`] has succeeded; an empty one for others.
    pub(super) fn from_checked(bytes: &'a [u8]) -> Self {
        Self::split(bytes).unwrap_or(Self {
            width: 0,
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
        let mut walk = self.walk();
        while !walk.is_at_end() {
            let offset = walk.offset;
            if let Structure::Unit(unit) = walk.advance()? {
                if units == MAX_UNITS {
                    let kind = ErrorKind::TooManyUnits;
                    return Err(Error { offset, kind });
                }
                self.check_registers(unit, units)?;
                units += 1;
            }
        }
        Ok(())
    }

    /// Whether the registers of `unit`, which is the one after `earlier` others, are its own.
    fn check_registers(self, unit: RemappingUnit<'_>, earlier: usize) -> Result<(), Error> {
        let others = || self.descriptions().take(earlier);
        if others().any(|other| other.is(&unit)) {
            return Ok(());
        }
        let overlaps = |other: &RemappingUnit<'_>| {
            unit.register_base <= other.register_last().unwrap_or_default()
                && other.register_base <= unit.register_last().unwrap_or_default()
        };
        match others().find(overlaps) {
            None => Ok(()),
            Some(other) => Err(Error {
                offset: unit.offset,
                kind: ErrorKind::RegisterOverlap {
                    base: unit.register_base,
                    other: other.offset,
                },
            }),
        }
    }

    /// Number of bits of a physical address that DMA can reach, as firmware says.
    pub(super) fn width_in_bits(self) -> u16 {
        u16::from(self.width) + 1
    }

    /// Number of bits of a physical address that DMA can reach, 64 at most.
    pub fn host_address_width(self) -> u8 {
        self.width.saturating_add(1).min(64)
    }

    /// Flags of the table.
    pub const fn flags(self) -> DmarFlags {
        self.flags
    }

    pub(super) fn walk(self) -> Walk<'a> {
        Walk {
            left: self.structures,
            offset: HEADER,
        }
    }

    /// All remapping structures, in the order of the table.
    pub fn structures(self) -> impl Iterator<Item = Structure<'a>> + use<'a> {
        let mut walk = self.walk();
        // Checked in `parse`: the only error left is that there is nothing more.
        core::iter::from_fn(move || walk.advance().ok())
    }

    /// The descriptions of remapping units. There may be several of one unit.
    pub(super) fn descriptions(self) -> impl Iterator<Item = RemappingUnit<'a>> + use<'a> {
        self.structures().filter_map(|s| match s {
            Structure::Unit(unit) => Some(unit),
            _ => None,
        })
    }

    /// The first description of the unit that `unit` describes.
    pub(super) fn first_description(self, unit: RemappingUnit<'a>) -> RemappingUnit<'a> {
        let first = self.descriptions().find(|other| other.is(&unit));
        first.unwrap_or(unit)
    }

    /// The remapping units, each once, with the first description of each.
    pub fn units(self) -> impl Iterator<Item = RemappingUnit<'a>> + use<'a> {
        self.descriptions()
            .filter(move |unit| self.first_description(*unit).offset == unit.offset)
    }

    /// The reserved memory of all devices, in whole pages. What is empty is left out.
    pub fn reserved_memory(self) -> impl Iterator<Item = ReservedMemory<'a>> + use<'a> {
        self.structures().filter_map(|s| match s {
            Structure::ReservedMemory(region) => region.in_pages(),
            _ => None,
        })
    }

    /// The declarations of devices of the ACPI namespace.
    pub fn namespace_devices(self) -> impl Iterator<Item = NamespaceDevice<'a>> + use<'a> {
        self.structures().filter_map(|s| match s {
            Structure::NamespaceDevice(device) => Some(device),
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

/// A walk through the structures.
pub(super) struct Walk<'a> {
    left: &'a [u8],
    /// Offset in the table of the structure that comes next.
    pub(super) offset: usize,
}

impl<'a> Walk<'a> {
    /// Whether there is nothing more, or nothing but zeros: a structure has a length.
    pub(super) fn is_at_end(&self) -> bool {
        self.left.iter().all(|byte| *byte == 0)
    }

    /// Whether there are zeros left.
    pub(super) fn is_at_zeros(&self) -> bool {
        self.is_at_end() && !self.left.is_empty()
    }

    /// Takes the next structure.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or that there is none.
    pub(super) fn advance(&mut self) -> Result<Structure<'a>, Error> {
        let (structure, rest) = Structure::split_first(self.left, self.offset)?;
        // A structure is never empty, so this ends.
        self.offset = self.offset.saturating_add(self.left.len() - rest.len());
        self.left = rest;
        Ok(structure)
    }
}

// SPDX-License-Identifier: GPL-2.0

//! What may be wrong with a DMAR table, told so that an operator can tell firmware's maker.

use core::fmt;

use siov_types::{PhysAddr, Segment};

use super::structure::StructureKind;

/// What is wrong, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error {
    /// Offset in bytes from the start of the table: of the structure, or of the device scope, that
    /// is wrong.
    pub offset: usize,
    /// What is wrong there.
    pub kind: ErrorKind,
}

/// What is wrong with a DMAR table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes do not start with "DMAR".
    Signature,
    /// The length in the header is too small for the header itself.
    TableTooShort {
        /// What the header says, or the number of bytes where that is less.
        length: usize,
    },
    /// The length in the header exceeds the bytes at hand.
    TableTruncated {
        /// What the header says.
        length: usize,
        /// How many bytes there are.
        available: usize,
    },
    /// The host address width is no width that a processor has.
    HostAddressWidth {
        /// In bits.
        bits: u16,
    },
    /// Bytes are left over that are too few for a structure's header.
    StructureHeader {
        /// How many.
        left: usize,
    },
    /// A structure is shorter than its kind has to be.
    StructureTooShort {
        /// Its kind.
        kind: StructureKind,
        /// What it says.
        length: u16,
        /// What its kind needs.
        minimum: usize,
    },
    /// A structure ends after the table.
    StructureTruncated {
        /// Its kind.
        kind: StructureKind,
        /// What it says.
        length: u16,
        /// How many bytes the table has left.
        left: usize,
    },
    /// A device scope is shorter than its header and one path element.
    ScopeTooShort {
        /// What it says; 0 when not even the header fits.
        length: u8,
    },
    /// A device scope ends after its structure.
    ScopeTruncated {
        /// What it says.
        length: u8,
        /// How many bytes the structure has left.
        left: usize,
    },
    /// The path of a device scope is no whole number of elements.
    ScopePathOdd {
        /// What the device scope says its length is.
        length: u8,
    },
    /// An element of the path of a device scope is no PCI device and function.
    ScopePathElement {
        /// Device number, 31 at most in PCI.
        device: u8,
        /// Function number, 7 at most in PCI.
        function: u8,
    },
    /// The registers of a remapping unit are at 0, not at a page boundary, or wrap around the end
    /// of the address space.
    RegisterBase {
        /// Where they are said to be.
        base: PhysAddr,
    },
    /// The registers of two remapping units overlap.
    RegisterOverlap {
        /// Where those of the later one are said to be.
        base: PhysAddr,
        /// Offset of the structure of the earlier one.
        other: usize,
    },
    /// Two remapping units claim all remaining devices of a segment.
    IncludeAllTwice {
        /// The segment.
        segment: Segment,
        /// Offset of the structure of the earlier one.
        other: usize,
    },
    /// More remapping units than any machine has.
    TooManyUnits,
    /// A reserved memory region that ends before it starts, or is not made of pages.
    ReservedMemory {
        /// Its first byte.
        base: PhysAddr,
        /// Its last byte.
        limit: PhysAddr,
    },
    /// The name of an ACPI namespace device has no end.
    NameUnterminated,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DMAR: ")?;
        let at = self.offset;
        match self.kind {
            ErrorKind::Signature => f.write_str("the signature is not \"DMAR\""),
            ErrorKind::TableTooShort { length } => {
                write!(
                    f,
                    "length {length} is below the 48-byte minimum of the table"
                )
            }
            ErrorKind::TableTruncated { length, available } => {
                write!(
                    f,
                    "length {length} exceeds the {available} bytes of the table"
                )
            }
            ErrorKind::HostAddressWidth { bits } => {
                write!(f, "impossible host address width of {bits} bits")
            }
            ErrorKind::StructureHeader { left } => write!(
                f,
                "remapping structure at offset {at:#x}: {left} bytes are too few for its header"
            ),
            ErrorKind::StructureTooShort {
                kind,
                length,
                minimum,
            } => write!(
                f,
                "remapping structure at offset {at:#x}: \
                 length {length} is below the {minimum}-byte minimum of {kind}"
            ),
            ErrorKind::StructureTruncated { kind, length, left } => write!(
                f,
                "remapping structure at offset {at:#x}: \
                 length {length} of {kind} exceeds the {left} bytes left in the table"
            ),
            ErrorKind::ScopeTooShort { length } => write!(
                f,
                "device scope at offset {at:#x}: length {length} is below the 8-byte minimum"
            ),
            ErrorKind::ScopeTruncated { length, left } => write!(
                f,
                "device scope at offset {at:#x}: \
                 length {length} exceeds the {left} bytes left in its structure"
            ),
            ErrorKind::ScopePathOdd { length } => write!(
                f,
                "device scope at offset {at:#x}: \
                 length {length} does not hold whole path elements"
            ),
            ErrorKind::ScopePathElement { device, function } => write!(
                f,
                "device scope at offset {at:#x}: \
                 device {device:#x} function {function:#x} is not possible in a path"
            ),
            ErrorKind::RegisterBase { base } => write!(
                f,
                "remapping unit at offset {at:#x}: registers cannot be at {base}"
            ),
            ErrorKind::RegisterOverlap { base, other } => write!(
                f,
                "remapping unit at offset {at:#x}: \
                 registers at {base} overlap those of the unit at offset {other:#x}"
            ),
            ErrorKind::IncludeAllTwice { segment, other } => write!(
                f,
                "remapping unit at offset {at:#x}: INCLUDE_PCI_ALL for segment {:04x} \
                 is taken by the unit at offset {other:#x}",
                segment.0
            ),
            ErrorKind::TooManyUnits => {
                write!(
                    f,
                    "remapping unit at offset {at:#x}: more units than supported"
                )
            }
            ErrorKind::ReservedMemory { base, limit } => write!(
                f,
                "reserved memory at offset {at:#x}: {base} to {limit} is not a range of pages"
            ),
            ErrorKind::NameUnterminated => write!(
                f,
                "ACPI namespace device at offset {at:#x}: the name has no end"
            ),
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! What makes a DMAR table useless, in words for firmware's maker.

use core::fmt;

use siov_types::{Bdf, PhysAddr};

use super::scope::ScopeKind;
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
    /// The host address width is less than that of an address of a page.
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
    /// A device scope is shorter than its header.
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
    /// A device scope names a function that is not of its kind.
    ScopeMismatch {
        /// Its kind.
        kind: ScopeKind,
        /// The function.
        bdf: Bdf,
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
    /// More remapping units than any machine has.
    TooManyUnits,
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
                "device scope at offset {at:#x}: length {length} is below the 6-byte minimum"
            ),
            ErrorKind::ScopeTruncated { length, left } => write!(
                f,
                "device scope at offset {at:#x}: \
                 length {length} exceeds the {left} bytes left in its structure"
            ),
            ErrorKind::ScopeMismatch { kind, bdf } => {
                write!(f, "device scope at offset {at:#x}: {bdf} is not {kind}")
            }
            ErrorKind::RegisterBase { base } => write!(
                f,
                "remapping unit at offset {at:#x}: registers cannot be at {base}"
            ),
            ErrorKind::RegisterOverlap { base, other } => write!(
                f,
                "remapping unit at offset {at:#x}: \
                 registers at {base} overlap those of the unit at offset {other:#x}"
            ),
            ErrorKind::TooManyUnits => {
                write!(
                    f,
                    "remapping unit at offset {at:#x}: more units than supported"
                )
            }
            ErrorKind::NameUnterminated => write!(
                f,
                "ACPI namespace device at offset {at:#x}: the name has no end"
            ),
        }
    }
}

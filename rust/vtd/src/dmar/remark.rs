// SPDX-License-Identifier: GPL-2.0

//! What is wrong with a DMAR table and does not keep it from being used, in words for firmware's
//! maker.
//!
//! The kernel's own driver (drivers/iommu/intel) uses such tables, some of them after a line "Your
//! BIOS is broken".

use core::fmt;

use siov_types::{Bdf, PhysAddr, Segment};

use super::scope::{PathElement, ScopeKind};
use super::structure::StructureKind;

/// What is wrong, where, and what is done about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remark<'a> {
    /// What it is about.
    pub place: Place,
    /// What is wrong there.
    pub kind: RemarkKind<'a>,
}

/// A part of the table. Offsets are in bytes from the start of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The table as a whole.
    Table,
    /// A structure.
    Structure {
        /// Its kind.
        kind: StructureKind,
        /// Its offset.
        offset: usize,
    },
    /// A device scope of a structure.
    Scope {
        /// The kind of the structure.
        kind: StructureKind,
        /// The offset of the structure.
        offset: usize,
        /// The offset of the scope.
        scope: usize,
    },
}

/// What is wrong with a part of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RemarkKind<'a> {
    /// The host address width is more than an address has bits: 64 are taken.
    HostAddressWidth {
        /// In bits.
        bits: u16,
    },
    /// The table ends with zeros where a structure would begin: they are skipped.
    TrailingZeros {
        /// Where they begin.
        offset: usize,
    },
    /// A remapping unit has been described before: what is said of it in both places holds.
    UnitTwice {
        /// Where its registers are.
        base: PhysAddr,
        /// Offset of the earlier structure.
        other: usize,
    },
    /// Two remapping units claim all remaining devices of a segment: the earlier one has them.
    IncludeAllTwice {
        /// The segment.
        segment: Segment,
        /// Offset of the structure of the earlier one.
        other: usize,
    },
    /// A reserved memory region does not end after its first byte: it is skipped.
    ReservedMemoryEmpty {
        /// Its first byte.
        base: PhysAddr,
        /// Its last byte.
        limit: PhysAddr,
    },
    /// A reserved memory region is not made of pages: it is rounded outward.
    ReservedMemoryMisaligned {
        /// Its first byte.
        base: PhysAddr,
        /// Its last byte.
        limit: PhysAddr,
    },
    /// The machine's memory map has a reserved memory region, or a part of it, as memory that
    /// everybody may use. It is mapped for its devices nevertheless.
    ReservedMemoryUsable {
        /// Its first byte.
        base: PhysAddr,
        /// Its last byte.
        limit: PhysAddr,
    },
    /// The machine's memory map does not have a reserved memory region as reserved. It is mapped
    /// for its devices nevertheless.
    ReservedMemoryUnlisted {
        /// Its first byte.
        base: PhysAddr,
        /// Its last byte.
        limit: PhysAddr,
    },
    /// Affinity of a remapping unit that does not exist: skipped.
    ProximityWithoutUnit {
        /// Where its registers are said to be.
        base: PhysAddr,
    },
    /// A device scope is of a kind that does not exist: it is skipped.
    ScopeUnknown {
        /// The kind.
        kind: ScopeKind,
    },
    /// A device scope has no path: it names nothing.
    ScopeWithoutPath {
        /// What it should name.
        kind: ScopeKind,
    },
    /// The path of a device scope is no whole number of elements: the last byte is skipped.
    ScopePathOdd {
        /// What it names.
        kind: ScopeKind,
    },
    /// An element of the path of a device scope is no PCI device and function: it names nothing.
    ScopePathElement {
        /// What it should name.
        kind: ScopeKind,
        /// The element.
        element: PathElement,
    },
    /// The path of a device scope does not begin on a root bus: it is taken for the function with
    /// these numbers.
    ScopeBelowBridge {
        /// The function.
        bdf: Bdf,
    },
    /// A device scope names a device of the ACPI namespace that is not declared: it names nothing.
    NamespaceUndeclared {
        /// The number.
        number: u8,
    },
    /// No remapping unit names a device of the ACPI namespace.
    NamespaceUnclaimed {
        /// The number.
        number: u8,
        /// The ACPI object's name.
        name: Name<'a>,
    },
}

/// Name of an ACPI object, as firmware has written it, as a path. Prints in visible characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name<'a>(pub &'a [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            match byte {
                b' '..=b'~' => write!(f, "{}", char::from(*byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table => f.write_str("table"),
            Self::Structure { kind, offset } => write!(f, "{kind} at offset {offset:#x}"),
            Self::Scope {
                kind,
                offset,
                scope,
            } => write!(
                f,
                "{kind} at offset {offset:#x}, device scope at offset {scope:#x}"
            ),
        }
    }
}

impl fmt::Display for Remark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        match self.kind {
            RemarkKind::HostAddressWidth { bits } => {
                write!(f, "host address width of {bits} bits, taken as 64")
            }
            RemarkKind::TrailingZeros { offset } => {
                write!(f, "zeros from offset {offset:#x} to the end, skipped")
            }
            RemarkKind::UnitTwice { base, other } => write!(
                f,
                "registers at {base} are those of the DRHD at offset {other:#x}, taken as one unit"
            ),
            RemarkKind::IncludeAllTwice { segment, other } => write!(
                f,
                "INCLUDE_PCI_ALL for segment {:04x} is taken by the DRHD at offset {other:#x}",
                segment.0
            ),
            RemarkKind::ReservedMemoryEmpty { base, limit } => {
                write!(f, "{base} to {limit} is empty, skipped")
            }
            RemarkKind::ReservedMemoryMisaligned { base, limit } => {
                write!(f, "{base} to {limit} is not made of pages, rounded outward")
            }
            RemarkKind::ReservedMemoryUsable { base, limit } => write!(
                f,
                "{base} to {limit} is usable memory in the machine's memory map"
            ),
            RemarkKind::ReservedMemoryUnlisted { base, limit } => write!(
                f,
                "{base} to {limit} is not reserved in the machine's memory map"
            ),
            RemarkKind::ProximityWithoutUnit { base } => {
                write!(f, "no unit has registers at {base}, skipped")
            }
            RemarkKind::ScopeUnknown { kind } => write!(f, "{kind}, skipped"),
            RemarkKind::ScopeWithoutPath { kind } => {
                write!(f, "{kind} without a path, skipped")
            }
            RemarkKind::ScopePathOdd { kind } => write!(
                f,
                "the path of {kind} does not consist of whole elements, last byte skipped"
            ),
            RemarkKind::ScopePathElement { kind, element } => write!(
                f,
                "device {:#x} function {:#x} is not possible in the path of {kind}, skipped",
                element.device, element.function
            ),
            RemarkKind::ScopeBelowBridge { bdf } => {
                write!(f, "the bus is no root bus, taken as function {bdf}")
            }
            RemarkKind::NamespaceUndeclared { number } => {
                write!(f, "no ANDD declares ACPI device {number}, skipped")
            }
            RemarkKind::NamespaceUnclaimed { number, name } => write!(
                f,
                "no DRHD names ACPI device {number} ({name}), its DMA may be blocked"
            ),
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The ACPI DMAR table: which remapping units there are, which devices each translates, and what
//! firmware still does with memory (VT-d spec, chapter 8; Linux: include/acpi/actbl1.h).
//!
//! [`Dmar::parse`] checks the whole table once; all that reads it afterwards has no errors left to
//! report and only borrows from it.

mod checked;
mod error;
mod matching;
mod scope;
mod structure;
mod table;

pub use checked::CheckedDmar;
pub use error::{Error, ErrorKind};
pub use matching::{Ats, BusRange, PciTopology, RootPort};
pub use scope::{DeviceScope, ScopeIter, ScopeKind, Scopes};
pub use structure::{
    AtsCache, DeviceProperties, NamespaceDevice, Proximity, RemappingUnit, ReservedMemory,
    RootPortAts, Structure, StructureKind,
};
pub use table::{Dmar, DmarFlags};

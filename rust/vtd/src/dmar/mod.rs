// SPDX-License-Identifier: GPL-2.0

//! The ACPI DMAR table: which remapping units there are, which devices each translates, and what
//! firmware still does with memory (VT-d spec, chapter 8; Linux: include/acpi/actbl1.h).
//!
//! [`Dmar::parse`] checks the whole table once; all that reads it afterwards has no errors left to
//! report and only borrows from it. What is wrong with a table that can be used is listed by
//! [`Dmar::for_each_remark`].

mod checked;
mod error;
mod matching;
mod remark;
mod review;
mod scope;
mod structure;
mod table;

pub use checked::CheckedDmar;
pub use error::{Error, ErrorKind};
pub use matching::{Ats, BusRange, FunctionKind, PciTopology, RootPort};
pub use remark::{Name, Place, Remark, RemarkKind};
pub use review::{MemoryMap, MemoryUse};
pub use scope::{DeviceScope, PathElement, ScopeIter, ScopeKind, Scopes};
pub use structure::{
    AtsCache, NamespaceDevice, Proximity, RemappingUnit, ReservedMemory, RootPortAts, Structure,
    StructureKind,
};
pub use table::{Dmar, DmarFlags};

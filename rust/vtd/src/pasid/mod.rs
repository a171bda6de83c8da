// SPDX-License-Identifier: GPL-2.0

//! From a PASID to its translation: a directory of tables of 64 entries (VT-d spec, 3.4.3, 9.5 and
//! 9.6).

mod directory;
mod entry;

pub use directory::{DirectoryEntry, DirectorySize};
pub use entry::{FirstStageFlags, PasidEntry, TranslationType};

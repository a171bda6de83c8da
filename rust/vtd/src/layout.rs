// SPDX-License-Identifier: GPL-2.0

//! Sizes that hardware fixes, checked at compile time.

use siov_types::PAGE_SIZE;
use static_assertions::{assert_eq_align, const_assert_eq};

use crate::context::ContextEntry;
use crate::fault::FaultRecord;
use crate::invalidate::Descriptor;
use crate::pasid::{DirectoryEntry, DirectorySize, PasidEntry};
use crate::root::{RootEntry, RootHalf};

// VT-d spec, 9.2, 9.4, 9.5, 9.6, 6.5.2 and 11.4.14.
const_assert_eq!(size_of::<RootHalf>(), 8);
const_assert_eq!(size_of::<RootEntry>(), 16);
const_assert_eq!(core::mem::offset_of!(RootEntry, lower), 0);
const_assert_eq!(core::mem::offset_of!(RootEntry, upper), 8);
const_assert_eq!(size_of::<ContextEntry>(), 32);
const_assert_eq!(size_of::<DirectoryEntry>(), 8);
const_assert_eq!(size_of::<PasidEntry>(), 64);
const_assert_eq!(size_of::<Descriptor>(), 32);
const_assert_eq!(size_of::<FaultRecord>(), 16);

// Tables of one page.
const_assert_eq!(
    size_of::<RootEntry>() * RootEntry::COUNT,
    PAGE_SIZE as usize
);
const_assert_eq!(
    size_of::<ContextEntry>() * ContextEntry::COUNT,
    PAGE_SIZE as usize
);
const_assert_eq!(
    size_of::<PasidEntry>() * PasidEntry::COUNT,
    PAGE_SIZE as usize
);
const_assert_eq!(DirectorySize::MAX.bytes(), 32 * PAGE_SIZE as usize);

// Every word of them is read and written as a whole.
assert_eq_align!(
    u64,
    RootEntry,
    ContextEntry,
    DirectoryEntry,
    PasidEntry,
    Descriptor
);
const_assert_eq!(size_of::<ContextEntry>(), 8 * ContextEntry::WORDS);
const_assert_eq!(size_of::<PasidEntry>(), 8 * PasidEntry::WORDS);
const_assert_eq!(size_of::<Descriptor>(), 8 * Descriptor::WORDS);

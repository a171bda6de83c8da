// SPDX-License-Identifier: GPL-2.0

//! why: What keeps a module is counted when it is made.
//! against: linux
//! error: E0423

#![forbid(unsafe_code)]

use linux::module::{InUse, Kind};

/// For a work item.
pub fn in_use() -> InUse {
    // misuse {
    return InUse(Kind::Work);
    // } else {
    InUse::new(Kind::Work)
    // }
}

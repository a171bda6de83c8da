// SPDX-License-Identifier: GPL-2.0

//! why: Which memory devices reach is a promise that safe code cannot make.
//! against: linux
//! error: E0200

#![forbid(unsafe_code)]

use linux::iommu::driver::Isolates;

/// Invalidates nothing.
pub struct Domain;

// misuse {
impl Isolates for Domain {}
// }

/// For those who have promised.
pub fn attach<T: Isolates>(domain: &T) {
    let _ = domain;
}

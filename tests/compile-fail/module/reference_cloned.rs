// SPDX-License-Identifier: GPL-2.0

//! why: A reference to the module is one reference.
//! against: linux
//! error: E0599

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux::module::Reference;

/// Two of them.
pub fn twice() -> Result<(Reference, Reference)> {
    let first = Reference::new()?;
    // misuse {
    let second = first.clone();
    // } else {
    let second = Reference::new()?;
    // }
    Ok((first, second))
}

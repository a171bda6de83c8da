// SPDX-License-Identifier: GPL-2.0

//! why: A type is there while its parent is registered, and lent to the functions of its files.
//! against: drivers/vfio/mdev/mdev.rs
//! error: E0308

#![forbid(unsafe_code)]

use crate::sys::{Page, Type, TypeAttribute, Written};
use kernel::prelude::*;

// misuse {
fn show(ty: &'static Type, page: Page<'_>) -> Result<Written> {
    Ok(page.line(ty.name().to_bytes()))
}
// } else {
fn show(ty: &Type, page: Page<'_>) -> Result<Written> {
    Ok(page.line(ty.name().to_bytes()))
}
// }

/// A file.
pub(crate) const FILE: TypeAttribute = TypeAttribute::read_only(c"name", show);

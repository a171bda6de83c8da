// SPDX-License-Identifier: GPL-2.0

//! why: A type belongs to its driver, which frees it when the parent has been unregistered.
//! against: drivers/vfio/mdev/mdev.rs
//! error: E0308

#![forbid(unsafe_code)]

use crate::sys::{Text, Type, TypeAttribute};
use kernel::prelude::*;

/// A file.
pub(crate) const FILE: TypeAttribute = TypeAttribute::write_only(c"keep", keep);

// misuse {
fn keep(_ty: &'static Type, _text: Text<'_>, _len: usize) -> Result {
    Ok(())
}
// } else {
fn keep(_ty: &Type, _text: Text<'_>, _len: usize) -> Result {
    Ok(())
}
// }

// SPDX-License-Identifier: GPL-2.0

//! Finds out how this QEMU lays its structures out, and checks it against what is known.
//!
//! What can be decided from copies of QEMU's data is decided by functions that take copies, so that
//! tests can give them data of a QEMU that does not exist. The rest is tried on types, regions and
//! timers of our own, before any device exists.

use std::fmt;

mod pci_class;
mod region_ops;
mod timer;
mod translation;
mod type_info;

pub(crate) use pci_class::{Functions, PciClass};
pub(crate) use region_ops::aligned_words;
pub(crate) use translation::{Header as TranslationHeader, TranslationSpace};

use crate::libc;
use crate::qemu::Setup;
use crate::symbols::Symbols;

/// Why this QEMU is not understood, as a sentence that names the structure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal(String);

impl Refusal {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// What was found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    pub(crate) pci_class: PciClass,
    /// `DEVICE_LITTLE_ENDIAN` of this QEMU.
    pub(crate) little_endian: u32,
}

impl Layout {
    /// # Errors
    ///
    /// What is not as expected.
    pub(crate) fn find(symbols: &Symbols, setup: &Setup) -> Result<Self, Refusal> {
        type_info::check(symbols, setup)?;
        timer::check(symbols)?;
        Ok(Self {
            pci_class: pci_class::find(symbols, setup)?,
            little_endian: region_ops::find(symbols, setup)?,
        })
    }
}

/// Whether two addresses lie in the same program or library.
fn same_program(a: usize, b: usize) -> bool {
    let base = |address| libc::object_at(address).map(|object| object.base);
    base(a).is_some() && base(a) == base(b)
}

// SPDX-License-Identifier: GPL-2.0

//! A table that owns its bytes.

use super::error::Error;
use super::table::Dmar;
use core::ops::Deref;

/// The bytes of a DMAR table that has been checked, once.
#[derive(Debug)]
pub struct CheckedDmar<B>(B);

impl<B: Deref<Target = [u8]>> CheckedDmar<B> {
    /// Checks `bytes`, as [`Dmar::parse`] does. They must not change any more.
    ///
    /// # Errors
    ///
    /// As [`Dmar::parse`].
    pub fn new(bytes: B) -> Result<Self, Error> {
        Dmar::parse(&bytes)?;
        Ok(Self(bytes))
    }

    /// The table.
    pub fn dmar(&self) -> Dmar<'_> {
        Dmar::from_checked(&self.0)
    }
}

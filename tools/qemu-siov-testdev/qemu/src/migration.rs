// SPDX-License-Identifier: GPL-2.0

//! Keeps QEMU from migrating: nothing here knows how to write the state of a device down.

use std::cell::Cell;

use crate::error::Error;
use crate::ffi::{Errp, QemuError};
use crate::symbols::Symbols;

/// A reason against migration: null, or one that QEMU has been told.
pub(crate) struct Blocker(Cell<*mut QemuError>);

impl Blocker {
    pub(crate) const fn none() -> Self {
        Self(Cell::new(std::ptr::null_mut()))
    }

    /// Adds a reason, in place of an earlier one. False, and an error at `errp`, if QEMU must be
    /// able to migrate.
    pub(crate) fn add(&self, symbols: &Symbols, reason: &Error, errp: Errp<'_>) -> bool {
        self.remove(symbols);
        let Some(add) = symbols.migrate_add_blocker else {
            return true;
        };
        symbols.set_error(Errp::new(&self.0), reason);
        // SAFETY: the place holds an error, which QEMU takes over; it clears the place if it
        // refuses. `errp` is null, or a place for an error.
        unsafe { add(self.0.as_ptr(), errp.as_ptr()) >= 0 }
    }

    /// Takes it back.
    pub(crate) fn remove(&self, symbols: &Symbols) {
        if let Some(delete) = symbols.migrate_del_blocker {
            // SAFETY: the place holds null, which is no reason, or one that was added; it is
            // cleared.
            unsafe { delete(self.0.as_ptr()) };
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Tables that firmware leaves behind.

use crate::bindings;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::prelude::*;

/// An ACPI table, held while this lives.
pub struct Table {
    header: NonNull<bindings::acpi_table_header>,
}

// SAFETY: The table is memory that nobody changes.
unsafe impl Send for Table {}
// SAFETY: As above.
unsafe impl Sync for Table {}

impl Table {
    /// The first table with this signature, four characters.
    ///
    /// # Errors
    ///
    /// `ENODEV` when firmware has none.
    pub fn get(signature: &'static [u8; 4]) -> Result<Self> {
        let mut header = core::ptr::null_mut();
        let name = core::ptr::from_ref(signature).cast_mut().cast();
        // SAFETY: `header` is valid for writes; four characters of the signature are read, and none is written.
        let status = unsafe { bindings::acpi_get_table(name, 1, &raw mut header) };
        if status != 0 {
            return Err(ENODEV);
        }
        let header = NonNull::new(header).ok_or(ENODEV)?;
        Ok(Self { header })
    }
}

impl Deref for Table {
    type Target = [u8];

    /// The table's bytes, header included, as many as the header says.
    fn deref(&self) -> &[u8] {
        // SAFETY: The table is mapped until it is put in `drop`.
        let len = unsafe { (*self.header.as_ptr()).length } as usize;
        // SAFETY: The ACPI core has mapped as much as the header says, and firmware's tables do not change.
        unsafe { core::slice::from_raw_parts(self.header.as_ptr().cast(), len) }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: Got in `get`.
        unsafe { bindings::acpi_put_table(self.header.as_ptr()) };
    }
}

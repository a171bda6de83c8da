// SPDX-License-Identifier: GPL-2.0

//! Tables that firmware leaves behind, and the namespace.

use crate::bindings;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::alloc::KVVec;
use kernel::prelude::*;

/// A copy of an ACPI table: firmware, and AML that it brings, may change some of them at any time,
/// the global lock in the FACS for instance.
pub struct Table(KVVec<u8>);

/// A table that the ACPI core has mapped, until this is dropped.
struct Mapped(NonNull<bindings::acpi_table_header>);

impl Mapped {
    fn get(signature: &'static [u8; 4]) -> Result<Self> {
        let mut header = core::ptr::null_mut();
        let name = core::ptr::from_ref(signature).cast_mut().cast();
        // SAFETY: `header` is valid for writes; four characters of the signature are read, and none
        // is written.
        let status = unsafe { bindings::acpi_get_table(name, 1, &raw mut header) };
        if status != 0 {
            return Err(ENODEV);
        }
        NonNull::new(header).map(Self).ok_or(ENODEV)
    }

    /// As many bytes as the header says, which the ACPI core has mapped.
    fn len(&self) -> usize {
        // SAFETY: The table is mapped; no reference is made.
        let len = unsafe { &raw const (*self.0.as_ptr()).length };
        // SAFETY: As above. The header is packed.
        let bytes = unsafe { len.cast::<[u8; 4]>().read_volatile() };
        u32::from_ne_bytes(bytes) as usize
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: Got in `get`.
        unsafe { bindings::acpi_put_table(self.0.as_ptr()) };
    }
}

impl Table {
    /// The first table with this signature, four characters.
    ///
    /// # Errors
    ///
    /// `ENODEV` when firmware has none, `ENOMEM`.
    pub fn get(signature: &'static [u8; 4]) -> Result<Self> {
        let mapped = Mapped::get(signature)?;
        let start = mapped.0.as_ptr().cast::<u8>();
        let len = mapped.len();
        let mut bytes = KVVec::with_capacity(len, GFP_KERNEL)?;
        for at in 0..len {
            // SAFETY: The ACPI core has mapped so many bytes.
            let byte = unsafe { start.add(at) };
            // SAFETY: As above; whoever changes it does so behind the compiler's back.
            bytes.push(unsafe { byte.read_volatile() }, GFP_KERNEL)?;
        }
        Ok(Self(bytes))
    }
}

impl Deref for Table {
    type Target = [u8];

    /// The table's bytes, header included, as many as the header says.
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Whether the namespace has an object of this name, which is a path from its root.
///
/// # Errors
///
/// `ENOMEM`, and `EINVAL` for a name with a zero in it.
pub fn has_object(name: &[u8]) -> Result<bool> {
    let mut path = KVec::with_capacity(name.len() + 1, GFP_KERNEL)?;
    path.extend_from_slice(name, GFP_KERNEL)?;
    path.push(0, GFP_KERNEL)?;
    let path = CStr::from_bytes_with_nul(&path).map_err(|_| EINVAL)?;
    let mut handle = core::ptr::null_mut();
    // ACPI_ROOT_OBJECT.
    let root = core::ptr::without_provenance_mut(usize::MAX);
    // SAFETY: The path is a C string, and `handle` is valid for writes.
    let status = unsafe { bindings::acpi_get_handle(root, path.as_char_ptr(), &raw mut handle) };
    Ok(status == 0)
}

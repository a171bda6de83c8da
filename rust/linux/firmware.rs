// SPDX-License-Identifier: GPL-2.0

//! What firmware says of itself and of the machine's memory.
//!
//! C headers: [`include/linux/dmi.h`](srctree/include/linux/dmi.h),
//! [`arch/x86/include/asm/e820/api.h`](srctree/arch/x86/include/asm/e820/api.h)

use crate::bindings;
use core::fmt;
use core::ops::RangeInclusive;
use kernel::str::{CStr, CStrExt};
use siov_types::PhysAddr;

/// Whose firmware this is, as the kernel's messages about mistakes of firmware have it:
/// `BIOS vendor: Example; Ver: 1.2; Product Version: 3`.
pub struct Identity;

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (label, field) in [
            ("BIOS vendor", bindings::dmi_field_DMI_BIOS_VENDOR),
            ("; Ver", bindings::dmi_field_DMI_BIOS_VERSION),
            ("; Product Version", bindings::dmi_field_DMI_PRODUCT_VERSION),
        ] {
            write!(f, "{label}: ")?;
            match dmi(field) {
                Some(text) => write!(f, "{}", text.to_bytes().escape_ascii())?,
                None => f.write_str("unknown")?,
            }
        }
        Ok(())
    }
}

/// A text of the DMI tables; `None` without it.
fn dmi(field: bindings::dmi_field) -> Option<&'static CStr> {
    // SAFETY: Takes any field that there is.
    let text = unsafe { bindings::dmi_get_system_info(field as i32) };
    if text.is_null() {
        return None;
    }
    // SAFETY: A C string that the kernel has made at boot, and keeps.
    Some(unsafe { CStr::from_char_ptr(text) })
}

/// Marks the kernel as one that works around mistakes of its firmware
/// (`TAINT_FIRMWARE_WORKAROUND`).
pub fn taint() {
    let locks_are_checked = bindings::lockdep_ok_LOCKDEP_STILL_OK;
    // SAFETY: A flag that there is; may be called in any context.
    unsafe { bindings::add_taint(bindings::TAINT_FIRMWARE_WORKAROUND, locks_are_checked) };
}

/// Kinds of memory in the memory map (e820).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryKind {
    /// Memory that the kernel uses.
    Usable,
    /// Reserved.
    Reserved,
    /// ACPI's, to be kept over sleep.
    Nvs,
}

/// Whether the memory map, as it is after the command line's changes, has memory of this kind
/// anywhere in `range`.
pub fn has_memory(range: &RangeInclusive<PhysAddr>, kind: MemoryKind) -> bool {
    let kind = match kind {
        MemoryKind::Usable => bindings::e820_type_E820_TYPE_RAM,
        MemoryKind::Reserved => bindings::e820_type_E820_TYPE_RESERVED,
        MemoryKind::Nvs => bindings::e820_type_E820_TYPE_NVS,
    };
    let (start, end) = (range.start().raw(), range.end().raw().saturating_add(1));
    // SAFETY: Takes any range; the map does not change any more.
    unsafe { bindings::e820__mapped_any(start, end, kind) }
}

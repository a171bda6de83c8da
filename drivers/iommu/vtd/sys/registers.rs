// SPDX-License-Identifier: GPL-2.0

//! The registers of a unit, where firmware says that they are.

use kernel::prelude::*;
use linux::{acpi, mmio};
use siov_types::{PhysAddr, PAGE_SIZE};
use siov_vtd::capability::register_span;
use siov_vtd::dmar::CheckedDmar;
use siov_vtd::{Capability, ExtendedCapability};

/// A unit as the machine's DMAR table describes it: there are no others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnitDescription {
    index: usize,
    base: PhysAddr,
    len: u64,
}

impl UnitDescription {
    /// All units of a table, which comes from firmware.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn all(table: &CheckedDmar<acpi::Table>) -> Result<KVec<Self>> {
        let mut units = KVec::new();
        for (index, unit) in table.dmar().units().enumerate() {
            let description = Self {
                index,
                base: unit.register_base,
                len: unit.register_size,
            };
            units.push(description, GFP_KERNEL)?;
        }
        Ok(units)
    }

    /// Position in the table.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Where its registers are.
    pub(crate) fn base(&self) -> PhysAddr {
        self.base
    }

    /// Bytes of registers.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

/// Bytes of registers that a unit can have, as far as its capabilities can say.
const MOST: u64 = register_span(
    Capability::from_raw(u64::MAX),
    ExtendedCapability::from_raw(u64::MAX),
)
.next_multiple_of(PAGE_SIZE as usize) as u64;

/// Claims and maps `len` bytes of registers of the unit.
///
/// # Errors
///
/// `EINVAL` for more than firmware says that there are, and than there can be; those of
/// [`mmio::Registers::claim`].
pub(crate) fn claim(unit: &UnitDescription, len: u64) -> Result<mmio::Registers> {
    if len > unit.len.max(MOST) {
        return Err(EINVAL);
    }
    // SAFETY: The DMAR table, which has been checked, says that these are the registers of a
    // remapping unit, or the unit that it has more. A kernel that does not believe its firmware has
    // no other source; memory that the kernel uses is claimed, and refused.
    unsafe { mmio::Registers::claim(unit.base, len, c"vtd") }
}

// SPDX-License-Identifier: GPL-2.0

//! Configuration space. What has a type of QEMU here checks no bounds.

use std::ffi::c_int;

use crate::ffi::PciDevice;
use crate::symbols::Symbols;

/// Bytes in the configuration space of a PCI Express device.
const SPACE: u32 = 4096;

impl Symbols {
    /// Reads a register of two bytes.
    pub(crate) fn read_config(&self, device: &PciDevice, at: u16) -> u32 {
        // SAFETY: the device has a configuration space. QEMU asserts that the bytes lie in it, in
        // numbers of 32 bits, which no number of 16 bits overflows.
        unsafe { (self.pci_default_read_config)(device.as_ptr(), at.into(), 2) }
    }

    /// Writes `length` bytes, as the guest would; with function level reset if `resets`.
    pub(crate) fn write_config(
        &self,
        device: &PciDevice,
        at: u32,
        value: u32,
        length: c_int,
        resets: bool,
    ) {
        let end = u32::try_from(length)
            .ok()
            .and_then(|length| at.checked_add(length));
        if !(1..=4).contains(&length) || end.is_none_or(|end| end > SPACE) {
            return;
        }
        // SAFETY: the bytes lie in the configuration space, and there are no more than a value has.
        unsafe { (self.pci_default_write_config)(device.as_ptr(), at, value, length) };
        if let Some(write) = self.pcie_cap_flr_write_config.filter(|_| resets) {
            // SAFETY: as above.
            unsafe { write(device.as_ptr(), at, value, length) };
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Access control services (PCIe spec, 6.12): what keeps requests between functions from bypassing
//! the IOMMU.
//!
//! The PCI core sets them at boot and after each reset when an IOMMU driver has asked for it
//! before PCI is enumerated, or when `pci=config_acs=` says so. A driver in a module comes too
//! late to ask.

use crate::bindings;
use crate::object::Object;
use kernel::pci::Device;

/// Source validation, redirection of requests and completions upstream, upstream forwarding: what
/// the PCI core sets (`pci_std_enable_acs()`), and what a group of its own takes.
const ISOLATING: u16 =
    (bindings::PCI_ACS_SV | bindings::PCI_ACS_RR | bindings::PCI_ACS_CR | bindings::PCI_ACS_UF)
        as u16;

/// The ACS capability of a function.
pub struct AccessControl<'a> {
    dev: &'a Device,
    capability: u16,
}

impl<'a> AccessControl<'a> {
    /// That of `dev`; `None` when it has none.
    pub fn of(dev: &'a Device) -> Option<Self> {
        let kind = bindings::PCI_EXT_CAP_ID_ACS as i32;
        // SAFETY: The device is valid.
        let capability = unsafe { bindings::pci_find_ext_capability(dev.as_raw(), kind) };
        (capability != 0).then_some(Self { dev, capability })
    }

    fn at(&self, register: u32) -> i32 {
        i32::from(self.capability) + register as i32
    }

    fn read(&self, register: u32) -> Option<u16> {
        let mut value = 0;
        // SAFETY: The device is valid, and the value ours.
        let ret = unsafe {
            bindings::pci_read_config_word(self.dev.as_raw(), self.at(register), &raw mut value)
        };
        (ret == 0).then_some(value)
    }

    /// The control register, and what has to be set in it for isolation.
    fn control(&self) -> Option<(u16, u16)> {
        let have = self.read(bindings::PCI_ACS_CAP)?;
        let control = self.read(bindings::PCI_ACS_CTRL)?;
        Some((control, have & ISOLATING))
    }

    /// Whether all that isolates is on, as far as the function has it.
    pub fn isolates(&self) -> bool {
        self.control()
            .is_some_and(|(control, wanted)| control & wanted == wanted)
    }

    /// Switches on what isolates, in any context. A reset of the function switches it off again.
    pub fn isolate(&self) {
        let Some((control, wanted)) = self.control() else {
            return;
        };
        let at = self.at(bindings::PCI_ACS_CTRL);
        // SAFETY: The device is valid.
        unsafe { bindings::pci_write_config_word(self.dev.as_raw(), at, control | wanted) };
    }
}

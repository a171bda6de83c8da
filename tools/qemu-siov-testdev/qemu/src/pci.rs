// SPDX-License-Identifier: GPL-2.0

//! What QEMU says about a device on its bus.

use crate::ffi::{AddressSpace, PciBus, PciDevice};
use crate::symbols::Symbols;

impl Symbols {
    /// The bus that the device is on.
    pub(crate) fn bus<'a>(&self, device: &'a PciDevice) -> &'a PciBus {
        // SAFETY: a PCI device on its bus.
        let bus = unsafe { (self.qdev_get_parent_bus)(device.as_ptr()) };
        // SAFETY: a PCI device is on a PCI bus, which lives as long as it is.
        unsafe { &*bus }
    }

    /// Whether the bus is PCI Express.
    pub(crate) fn is_express(&self, bus: &PciBus) -> bool {
        // SAFETY: a bus.
        unsafe { (self.pci_bus_is_express)(bus.as_ptr()) }
    }

    /// Device and function number.
    pub(crate) fn devfn(&self, device: &PciDevice) -> u8 {
        // SAFETY: a PCI device on its bus.
        let requester = unsafe { (self.pci_requester_id)(device.as_ptr()) };
        requester as u8
    }

    /// Where requests without a PASID go.
    pub(crate) fn address_space<'a>(&self, device: &'a PciDevice) -> &'a AddressSpace {
        // SAFETY: a PCI device on its bus.
        let space = unsafe { (self.pci_device_iommu_address_space)(device.as_ptr()) };
        // SAFETY: every device has one; that of an IOMMU, or of the machine, stays as long as the
        // device.
        unsafe { &*space }
    }

    /// Whether the guest has enabled PASIDs.
    pub(crate) fn is_pasid_enabled(&self, device: &PciDevice) -> bool {
        self.pcie_pasid_enabled.is_some_and(|enabled| {
            // SAFETY: a PCI device with a configuration space; false without the capability.
            unsafe { enabled(device.as_ptr()) }
        })
    }

    /// Whether the guest has enabled ATS.
    pub(crate) fn is_ats_enabled(&self, device: &PciDevice) -> bool {
        self.pcie_ats_enabled.is_some_and(|enabled| {
            // SAFETY: a PCI device with a configuration space; false without the capability.
            unsafe { enabled(device.as_ptr()) }
        })
    }

    /// Whether the guest has enabled page requests.
    pub(crate) fn is_pri_enabled(&self, device: &PciDevice) -> bool {
        self.pcie_pri_enabled.is_some_and(|enabled| {
            // SAFETY: a PCI device with a configuration space; false without the capability.
            unsafe { enabled(device.as_ptr()) }
        })
    }

    /// Raises an MSI-X vector of those that the device has.
    pub(crate) fn raise(&self, device: &PciDevice, vector: u32) {
        // SAFETY: a PCI device; QEMU asserts that it has the vector.
        unsafe { (self.msix_notify)(device.as_ptr(), vector) };
    }
}

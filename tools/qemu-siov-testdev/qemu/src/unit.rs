// SPDX-License-Identifier: GPL-2.0

//! The emulated VT-d unit.

use crate::ffi::{Errp, PciDevice, VtdUnit};
use crate::layout::TranslationHeader;
use crate::object_ref::ObjectRef;
use crate::qemu::Qemu;

/// The machine's unit, found by whoever has a device.
pub(crate) struct Unit {
    qemu: &'static Qemu,
    object: ObjectRef<VtdUnit>,
}

impl Unit {
    pub(crate) fn find(qemu: &'static Qemu, _device: &PciDevice) -> Option<Self> {
        let (path, name) = (c"".into(), c"intel-iommu".into());
        // SAFETY: there is a device, so the big lock is held. A machine has one such unit at most, and
        // keeps it; whoever has found it has a device, which is never used without the lock.
        let object = unsafe {
            let find = qemu.symbols.object_resolve_path_type;
            let unit = find(path, name, std::ptr::null_mut()).cast::<VtdUnit>();
            ObjectRef::new(qemu, unit.as_ref()?)
        };
        Some(Self { qemu, object })
    }

    /// Whether it lets devices ask for translations.
    pub(crate) fn has_device_tlb(&self) -> bool {
        let get = self.qemu.symbols.object_property_get_bool;
        get(self.object.as_ref(), c"device-iotlb".into(), Errp::NONE)
    }

    /// Its structure for a function and a PASID, and what that should start with.
    pub(crate) fn translation(
        &self,
        device: &PciDevice,
        pasid: u32,
    ) -> Option<(&'static TranslationHeader, TranslationHeader)> {
        let symbols = &self.qemu.symbols;
        let bus = (symbols.qdev_get_parent_bus)(device);
        let devfn = (symbols.pci_requester_id)(device) as u8;
        let find = symbols.vtd_find_add_as?;
        let found = find(&self.object, bus, devfn.into(), pasid)?;
        let bus = std::ptr::from_ref(bus) as usize;
        Some((found, TranslationHeader { bus, devfn, pasid }))
    }
}

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
        let (path, name) = (c"".as_ptr(), c"intel-iommu".as_ptr());
        let find = qemu.symbols.object_resolve_path_type;
        // SAFETY: there is a device, so the big lock is held. That the name is ambiguous, which it
        // is not, need not be told.
        let unit = unsafe { find(path, name, std::ptr::null_mut()) };
        // SAFETY: null, or an object of that type, which a machine keeps.
        let unit = unsafe { unit.cast::<VtdUnit>().as_ref() }?;
        // SAFETY: whoever has found it has a device, which is never used without the lock.
        let object = unsafe { ObjectRef::new(qemu, unit) };
        Some(Self { qemu, object })
    }

    /// Whether it lets devices ask for translations.
    pub(crate) fn has_device_tlb(&self) -> bool {
        let get = self.qemu.symbols.object_property_get_bool;
        let object = self.object.as_ref().as_ptr();
        // SAFETY: an object, and a string; false if it has no such property.
        unsafe { get(object, c"device-iotlb".as_ptr(), Errp::NONE.as_ptr()) }
    }

    /// Its structure for a function and a PASID, and what that should start with.
    pub(crate) fn translation(
        &self,
        device: &PciDevice,
        pasid: u32,
    ) -> Option<(&'static TranslationHeader, TranslationHeader)> {
        let symbols = &self.qemu.symbols;
        let bus = symbols.bus(device).as_ptr();
        let devfn = symbols.devfn(device);
        let find = symbols.vtd_find_add_as?;
        // SAFETY: the unit, a bus and a function on it; the unit makes what it does not have yet.
        let found = unsafe { find(self.object.as_ptr(), bus, devfn.into(), pasid) };
        // SAFETY: null, or a structure that starts so and is never freed. What it starts with
        // stays.
        let found = unsafe { found.as_ref() }?;
        let bus = bus as usize;
        Some((found, TranslationHeader { bus, devfn, pasid }))
    }
}

// SPDX-License-Identifier: GPL-2.0

//! A device's type.

use std::ffi::c_void;

use crate::device::Device;
use crate::ffi::{PciDeviceClass, TypeInfo};
use crate::instance;
use crate::layout::Functions;
use crate::property;
use crate::qemu::{Qemu, Setup};

/// Adds `D` to QEMU's types, for `-device`. QEMU ends if a type is registered twice.
pub fn register<D: Device>(qemu: &'static Qemu, _setup: &Setup) {
    let interfaces = [Some(c"pci-express-device".into()), None];
    let info = TypeInfo {
        instance_init: Some(instance::init::<D>),
        instance_finalize: Some(instance::finalize),
        class_init: Some(class_init::<D>),
        interfaces: interfaces.as_ptr(),
        ..TypeInfo::new(D::NAME, c"pci-device")
    };
    // SAFETY: QEMU copies all of it. The class of a type below pci-device is a PciDeviceClass.
    unsafe { (qemu.symbols.type_register_static)((&raw const info).cast()) };
}

extern "C" fn class_init<D: Device>(class: &PciDeviceClass, _data: *const c_void) {
    let Some(qemu) = Qemu::found() else {
        return;
    };
    let functions = Functions {
        realize: instance::realize::<D>,
        exit: instance::exit::<D>,
        write_config: instance::write_config,
    };
    qemu.layout.pci_class.fill(class, functions, D::IDENTITY);
    (qemu.symbols.device_class_set_legacy_reset)(class, instance::reset::<D>);
    property::add::<D>(qemu, class);
}

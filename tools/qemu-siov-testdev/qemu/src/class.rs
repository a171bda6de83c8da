// SPDX-License-Identifier: GPL-2.0

//! A device's type.

use std::ffi::c_void;

use crate::call::Call;
use crate::device::Device;
use crate::ffi::{InterfaceInfo, ObjectClass, PciDeviceClass, TypeInfo};
use crate::instance;
use crate::layout::Functions;
use crate::property;
use crate::qemu::{Qemu, Setup};

/// Adds `D` to QEMU's types, for `-device`. QEMU ends if a type is registered twice.
pub fn register<D: Device>(qemu: &'static Qemu, _setup: &Setup) {
    let interfaces = [
        InterfaceInfo(c"pci-express-device".as_ptr()),
        InterfaceInfo(std::ptr::null()),
    ];
    let info = TypeInfo {
        instance_init: Some(instance::init_callback::<D>),
        instance_finalize: Some(instance::finalize_callback),
        class_init: Some(class_init_callback::<D>),
        interfaces: interfaces.as_ptr(),
        ..TypeInfo::new(D::NAME, c"pci-device")
    };
    // SAFETY: types may be registered during setup. QEMU copies all of it, and calls the functions
    // for objects of this type and for its class.
    unsafe { (qemu.symbols.type_register_static)(&info) };
}

/// `TypeInfo.class_init`.
///
/// # Safety
///
/// For a type below pci-device.
unsafe extern "C" fn class_init_callback<D: Device>(class: *mut ObjectClass, _data: *const c_void) {
    let call = Call::new();
    // SAFETY: the class of such a type is that of a PCI device, and is being made.
    let class = unsafe { call.lend::<PciDeviceClass>(class.cast()) };
    class_init::<D>(class);
}

fn class_init<D: Device>(class: &PciDeviceClass) {
    let Some(qemu) = Qemu::found() else {
        return;
    };
    let functions = Functions {
        realize: instance::realize_callback::<D>,
        exit: instance::exit_callback::<D>,
        write_config: instance::write_config_callback,
    };
    qemu.layout.pci_class.fill(class, functions, D::IDENTITY);
    let set_reset = qemu.symbols.device_class_set_legacy_reset;
    // SAFETY: the class is being made. QEMU calls the function for devices of this type.
    unsafe { set_reset(class.as_ptr(), instance::reset_callback::<D>) };
    property::add::<D>(qemu, class);
}

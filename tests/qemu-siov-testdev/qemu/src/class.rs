// SPDX-License-Identifier: GPL-2.0

//! A device's type.

use std::ffi::c_void;

use crate::device::Device;
use crate::ffi::{InterfaceInfo, ObjectClass, TypeInfo};
use crate::instance;
use crate::layout::Functions;
use crate::property;
use crate::qemu::Qemu;

/// Adds `D` to QEMU's types, for `-device`.
///
/// # Safety
///
/// The calling thread is the one that sets QEMU up, which is not walking its types at the moment. A
/// type is registered once.
pub unsafe fn register<D: Device>(qemu: &'static Qemu) {
    let interfaces = [c"pci-express-device".as_ptr(), std::ptr::null()].map(InterfaceInfo);
    let info = TypeInfo {
        instance_init: Some(instance::init::<D>),
        instance_finalize: Some(instance::finalize::<D>),
        class_init: Some(class_init::<D>),
        interfaces: interfaces.as_ptr(),
        ..TypeInfo::new(D::NAME.as_ptr(), c"pci-device".as_ptr())
    };
    // SAFETY: QEMU copies all of it.
    unsafe { (qemu.symbols.type_register_static)(&info) };
}

unsafe extern "C" fn class_init<D: Device>(class: *mut ObjectClass, _data: *const c_void) {
    let Some(qemu) = Qemu::found() else {
        return;
    };
    let functions = Functions {
        realize: instance::realize::<D> as *const c_void,
        exit: instance::exit::<D> as *const c_void,
        write_config: instance::write_config::<D> as *const c_void,
    };
    // SAFETY: the class is that of D, a PCI device, and the functions have the types of their places.
    unsafe {
        qemu.layout.pci_class.fill(class, functions, D::IDENTITY);
        (qemu.symbols.device_class_set_legacy_reset)(class, instance::reset::<D>);
        property::add::<D>(qemu, class);
    }
}

// SPDX-License-Identifier: GPL-2.0

//! QEMU's functions and variables, by name.

use std::ffi::{c_char, c_int, c_void, CStr};

use crate::ffi::{
    AddressSpace, AioContext, Bh, Errp, IotlbNotifier, MemoryRegion, Object, ObjectClass,
    ObjectProperty, PciBus, QemuError, RegionOps, Timer, TlbEntry, TypeInfo, Visitor,
};

/// Reads or writes a property (include/qom/object.h, `ObjectPropertyAccessor`).
pub(crate) type Accessor =
    unsafe extern "C" fn(*mut Object, *mut Visitor, *const c_char, *mut c_void, Errp);

/// Called when a translation has become void (include/system/memory.h, `IOMMUNotify`).
pub(crate) type IotlbNotify = unsafe extern "C" fn(*mut IotlbNotifier, *const TlbEntry);

macro_rules! symbols {
    (
        required { $($name:ident: $type:ty;)* }
        optional { $($(#[$doc:meta])* $optional:ident: $optional_type:ty;)* }
        data { $($datum:ident: $datum_type:ty;)* }
    ) => {
        /// What QEMU offers. A required function that is missing is a refusal; an optional one costs a
        /// feature.
        pub(crate) struct Symbols {
            $(pub(crate) $name: $type,)*
            $($(#[$doc])* pub(crate) $optional: Option<$optional_type>,)*
            $(pub(crate) $datum: *mut $datum_type,)*
        }

        impl Symbols {
            /// Looks all names up.
            ///
            /// # Errors
            ///
            /// The names of required symbols that are missing.
            ///
            /// # Safety
            ///
            /// `find` returns the address of QEMU's symbol of that name, or null.
            pub(crate) unsafe fn resolve(
                find: impl Fn(&CStr) -> *mut c_void,
            ) -> Result<Self, Vec<&'static str>> {
                let find = |name: &str| {
                    let name = format!("{name}\0");
                    CStr::from_bytes_with_nul(name.as_bytes()).map_or(std::ptr::null_mut(), &find)
                };
                let required = [$(stringify!($name),)* $(stringify!($datum),)*];
                let missing: Vec<_> =
                    required.into_iter().filter(|name| find(name).is_null()).collect();
                if !missing.is_empty() {
                    return Err(missing);
                }
                Ok(Self {
                    // SAFETY: a function of that name; its type is what QEMU's headers declare.
                    $($name: unsafe { function::<$type>(find(stringify!($name))) },)*
                    $($optional: {
                        let address = find(stringify!($optional));
                        // SAFETY: as above.
                        (!address.is_null()).then(|| unsafe { function::<$optional_type>(address) })
                    },)*
                    $($datum: find(stringify!($datum)).cast(),)*
                })
            }

            /// The optional functions that this QEMU lacks.
            pub(crate) fn absent(&self) -> Vec<&'static str> {
                let mut absent = Vec::new();
                $(if self.$optional.is_none() {
                    absent.push(stringify!($optional));
                })*
                absent
            }
        }
    };
}

/// # Safety
///
/// `F` is a function pointer type, and `address` that of a function of this type.
unsafe fn function<F: Copy>(address: *mut c_void) -> F {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: as the caller promises.
    unsafe { std::mem::transmute_copy(&address) }
}

symbols! {
    required {
        // qom/object.c
        type_register_static: unsafe extern "C" fn(*const TypeInfo) -> *mut c_void;
        object_class_by_name: unsafe extern "C" fn(*const c_char) -> *mut ObjectClass;
        object_class_get_name: unsafe extern "C" fn(*mut ObjectClass) -> *const c_char;
        object_class_get_parent: unsafe extern "C" fn(*mut ObjectClass) -> *mut ObjectClass;
        object_class_is_abstract: unsafe extern "C" fn(*mut ObjectClass) -> bool;
        object_class_property_add: unsafe extern "C" fn(
            *mut ObjectClass, *const c_char, *const c_char, Accessor, Accessor, *mut c_void, *mut c_void,
        ) -> *mut ObjectProperty;
        object_class_property_set_description:
            unsafe extern "C" fn(*mut ObjectClass, *const c_char, *const c_char);
        object_new: unsafe extern "C" fn(*const c_char) -> *mut Object;
        object_ref: unsafe extern "C" fn(*mut Object) -> *mut Object;
        object_unref: unsafe extern "C" fn(*mut Object);
        object_resolve_path_type:
            unsafe extern "C" fn(*const c_char, *const c_char, *mut bool) -> *mut Object;
        object_property_get_bool: unsafe extern "C" fn(*mut Object, *const c_char, Errp) -> bool;
        visit_type_bool: unsafe extern "C" fn(*mut Visitor, *const c_char, *mut bool, Errp) -> bool;
        visit_type_uint32: unsafe extern "C" fn(*mut Visitor, *const c_char, *mut u32, Errp) -> bool;

        // util/error.c, util/error-report.c
        error_setg_internal: unsafe extern "C" fn(
            Errp, *const c_char, c_int, *const c_char, *const c_char, ...
        );
        error_propagate: unsafe extern "C" fn(Errp, *mut QemuError);
        error_report: unsafe extern "C" fn(*const c_char, ...);
        warn_report: unsafe extern "C" fn(*const c_char, ...);

        // hw/core/qdev.c, hw/pci/pci.c, hw/pci/pcie.c, hw/pci/msix.c
        device_class_set_legacy_reset:
            unsafe extern "C" fn(*mut ObjectClass, unsafe extern "C" fn(*mut Object));
        qdev_get_parent_bus: unsafe extern "C" fn(*mut Object) -> *mut PciBus;
        pci_bus_is_express: unsafe extern "C" fn(*mut PciBus) -> bool;
        pci_requester_id: unsafe extern "C" fn(*mut Object) -> u16;
        pci_default_read_config: unsafe extern "C" fn(*mut Object, u32, c_int) -> u32;
        pci_default_write_config: unsafe extern "C" fn(*mut Object, u32, u32, c_int);
        pci_bridge_write_config: unsafe extern "C" fn(*mut Object, u32, u32, c_int);
        pci_register_bar: unsafe extern "C" fn(*mut Object, c_int, u8, *mut MemoryRegion);
        pci_device_iommu_address_space: unsafe extern "C" fn(*mut Object) -> *mut AddressSpace;
        pcie_endpoint_cap_init: unsafe extern "C" fn(*mut Object, u8) -> c_int;
        msix_init_exclusive_bar: unsafe extern "C" fn(*mut Object, u32, u8, Errp) -> c_int;
        msix_uninit_exclusive_bar: unsafe extern "C" fn(*mut Object);
        msix_vector_use: unsafe extern "C" fn(*mut Object, u32);
        msix_notify: unsafe extern "C" fn(*mut Object, u32);

        // system/memory.c, system/physmem.c
        memory_region_init_io: unsafe extern "C" fn(
            *mut MemoryRegion, *mut Object, *const RegionOps, *mut c_void, *const c_char, u64,
        );
        memory_region_dispatch_read:
            unsafe extern "C" fn(*mut MemoryRegion, u64, *mut u64, u32, u64) -> u32;
        memory_region_dispatch_write:
            unsafe extern "C" fn(*mut MemoryRegion, u64, u64, u32, u64) -> u32;
        address_space_rw:
            unsafe extern "C" fn(*mut AddressSpace, u64, u64, *mut c_void, u64, bool) -> u32;

        // util/async.c, util/qemu-timer.c, util/main-loop.c
        qemu_get_aio_context: unsafe extern "C" fn() -> *mut AioContext;
        aio_bh_new_full: unsafe extern "C" fn(
            *mut AioContext, unsafe extern "C" fn(*mut c_void), *mut c_void, *const c_char, *mut c_void,
        ) -> *mut Bh;
        qemu_bh_schedule: unsafe extern "C" fn(*mut Bh);
        qemu_bh_cancel: unsafe extern "C" fn(*mut Bh);
        qemu_bh_delete: unsafe extern "C" fn(*mut Bh);
        timer_init_full: unsafe extern "C" fn(
            *mut Timer, *mut c_void, c_int, c_int, c_int, unsafe extern "C" fn(*mut c_void), *mut c_void,
        );
        timer_mod_ns: unsafe extern "C" fn(*mut Timer, i64);
        timer_del: unsafe extern "C" fn(*mut Timer);
        qemu_clock_get_ns: unsafe extern "C" fn(c_int) -> i64;
    }
    optional {
        /// Names the version in messages: { { i64 major, minor, micro } *, ... } *.
        qmp_query_version: unsafe extern "C" fn(Errp) -> *const *const [i64; 3];
        /// Without it, no DMA with a PASID.
        vtd_find_add_as: unsafe extern "C" fn(*mut Object, *mut PciBus, c_int, u32) -> *mut u8;
        pcie_pasid_init: unsafe extern "C" fn(*mut Object, u16, u8, bool, bool);
        pcie_pasid_enabled: unsafe extern "C" fn(*mut Object) -> bool;
        pcie_ats_init: unsafe extern "C" fn(*mut Object, u16, bool);
        pcie_ats_enabled: unsafe extern "C" fn(*mut Object) -> bool;
        pcie_pri_init: unsafe extern "C" fn(*mut Object, u16, u32, bool);
        pcie_pri_enabled: unsafe extern "C" fn(*mut Object) -> bool;
        pcie_cap_flr_init: unsafe extern "C" fn(*mut Object);
        pcie_cap_flr_write_config: unsafe extern "C" fn(*mut Object, u32, u32, c_int);
        pci_ats_request_translation: unsafe extern "C" fn(
            *mut Object, u32, bool, bool, u64, usize, bool, *mut TlbEntry, usize, *mut u32,
        ) -> isize;
        pci_iommu_init_iotlb_notifier:
            unsafe extern "C" fn(*mut Object, *mut IotlbNotifier, IotlbNotify, *mut c_void) -> c_int;
        pci_iommu_register_iotlb_notifier:
            unsafe extern "C" fn(*mut Object, u32, *mut IotlbNotifier) -> c_int;
        pci_iommu_unregister_iotlb_notifier:
            unsafe extern "C" fn(*mut Object, u32, *mut IotlbNotifier) -> c_int;
        migrate_add_blocker: unsafe extern "C" fn(Errp, Errp) -> c_int;
        migrate_del_blocker: unsafe extern "C" fn(Errp);
    }
    data {
        address_space_memory: AddressSpace;
        unassigned_mem_ops: RegionOps;
        pci_host_conf_le_ops: RegionOps;
        pci_host_conf_be_ops: RegionOps;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_name_is_reported() {
        // SAFETY: no address is given, so none is called.
        let missing = unsafe { Symbols::resolve(|_| std::ptr::null_mut()) }
            .err()
            .unwrap_or_default();
        assert!(missing.contains(&"type_register_static"));
        assert!(missing.contains(&"address_space_memory"));
        assert!(!missing.contains(&"vtd_find_add_as"));

        // SAFETY: nothing is called.
        let missing = unsafe {
            Symbols::resolve(|name| match name.to_bytes() {
                b"msix_notify" => std::ptr::null_mut(),
                _ => std::ptr::dangling_mut(),
            })
        };
        assert_eq!(missing.err(), Some(vec!["msix_notify"]));
    }

    #[test]
    fn optional_names_may_be_missing() {
        // SAFETY: nothing is called.
        let symbols = unsafe {
            Symbols::resolve(|name| match name.to_bytes().starts_with(b"pcie_p") {
                true => std::ptr::null_mut(),
                false => std::ptr::dangling_mut(),
            })
        };
        let symbols = symbols.ok().unwrap();
        let names = [
            "pcie_pasid_init",
            "pcie_pasid_enabled",
            "pcie_pri_init",
            "pcie_pri_enabled",
        ];
        assert_eq!(symbols.absent(), names);
        assert!(symbols.pcie_ats_init.is_some());
    }
}

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

/// Called by a bottom half or a timer, with what it was made with.
pub(crate) type Callback = unsafe extern "C" fn(*mut c_void);

/// Resets a device.
pub(crate) type Reset = unsafe extern "C" fn(*mut Object);

/// Called when a translation has become void (include/system/memory.h, `IOMMUNotify`).
pub(crate) type IotlbNotify = unsafe extern "C" fn(*mut IotlbNotifier, *const TlbEntry);

macro_rules! symbols {
    (
        required { $(fn $name:ident($($args:tt)*) $(-> $ret:ty)?;)* }
        optional { $(
            $(#[$doc:meta])* fn $optional:ident($($optional_args:tt)*) $(-> $optional_ret:ty)?;
        )* }
        data { $($datum:ident: $datum_type:ty;)* }
    ) => {
        /// What QEMU offers. A required function that is missing is a refusal; an optional one costs a
        /// feature.
        pub(crate) struct Symbols {
            $(pub(crate) $name: unsafe extern "C" fn($($args)*) $(-> $ret)?,)*
            $(
                $(#[$doc])*
                pub(crate) $optional:
                    Option<unsafe extern "C" fn($($optional_args)*) $(-> $optional_ret)?>,
            )*
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
                    $($name: unsafe { function(find(stringify!($name))) },)*
                    $($optional: {
                        let address = find(stringify!($optional));
                        // SAFETY: as above.
                        (!address.is_null()).then(|| unsafe { function(address) })
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
        fn type_register_static(*const TypeInfo) -> *mut c_void;
        fn object_class_by_name(*const c_char) -> *mut ObjectClass;
        fn object_class_get_name(*mut ObjectClass) -> *const c_char;
        fn object_class_get_parent(*mut ObjectClass) -> *mut ObjectClass;
        fn object_class_is_abstract(*mut ObjectClass) -> bool;
        fn object_class_property_add(
            *mut ObjectClass, *const c_char, *const c_char, Accessor, Accessor, *mut c_void, *mut c_void,
        ) -> *mut ObjectProperty;
        fn object_class_property_set_description(*mut ObjectClass, *const c_char, *const c_char);
        fn object_new(*const c_char) -> *mut Object;
        fn object_ref(*mut Object) -> *mut Object;
        fn object_unref(*mut Object);
        fn object_resolve_path_type(*const c_char, *const c_char, *mut bool) -> *mut Object;
        fn object_property_get_bool(*mut Object, *const c_char, Errp) -> bool;
        fn visit_type_bool(*mut Visitor, *const c_char, *mut bool, Errp) -> bool;
        fn visit_type_uint32(*mut Visitor, *const c_char, *mut u32, Errp) -> bool;

        // util/error.c, util/error-report.c
        fn error_setg_internal(
            Errp, *const c_char, c_int, *const c_char, *const c_char, ...
        );
        fn error_propagate(Errp, *mut QemuError);
        fn error_report(*const c_char, ...);
        fn warn_report(*const c_char, ...);

        // hw/core/qdev.c, hw/pci/pci.c, hw/pci/pcie.c, hw/pci/msix.c
        fn device_class_set_legacy_reset(*mut ObjectClass, Reset);
        fn qdev_get_parent_bus(*mut Object) -> *mut PciBus;
        fn pci_bus_is_express(*mut PciBus) -> bool;
        fn pci_requester_id(*mut Object) -> u16;
        fn pci_default_read_config(*mut Object, u32, c_int) -> u32;
        fn pci_default_write_config(*mut Object, u32, u32, c_int);
        fn pci_bridge_write_config(*mut Object, u32, u32, c_int);
        fn pci_register_bar(*mut Object, c_int, u8, *mut MemoryRegion);
        fn pci_device_iommu_address_space(*mut Object) -> *mut AddressSpace;
        fn pcie_endpoint_cap_init(*mut Object, u8) -> c_int;
        fn msix_init_exclusive_bar(*mut Object, u32, u8, Errp) -> c_int;
        fn msix_uninit_exclusive_bar(*mut Object);
        fn msix_vector_use(*mut Object, u32);
        fn msix_notify(*mut Object, u32);

        // system/memory.c, system/physmem.c
        fn memory_region_init_io(
            *mut MemoryRegion, *mut Object, *const RegionOps, *mut c_void, *const c_char, u64,
        );
        fn memory_region_dispatch_read(*mut MemoryRegion, u64, *mut u64, u32, u64) -> u32;
        fn memory_region_dispatch_write(*mut MemoryRegion, u64, u64, u32, u64) -> u32;
        fn address_space_rw(*mut AddressSpace, u64, u64, *mut c_void, u64, bool) -> u32;

        // util/async.c, util/qemu-timer.c, util/main-loop.c
        fn qemu_get_aio_context() -> *mut AioContext;
        fn aio_bh_new_full(
            *mut AioContext, Callback, *mut c_void, *const c_char, *mut c_void,
        ) -> *mut Bh;
        fn qemu_bh_schedule(*mut Bh);
        fn qemu_bh_cancel(*mut Bh);
        fn qemu_bh_delete(*mut Bh);
        fn timer_init_full(
            *mut Timer, *mut c_void, c_int, c_int, c_int, Callback, *mut c_void,
        );
        fn timer_mod_ns(*mut Timer, i64);
        fn timer_del(*mut Timer);
        fn qemu_clock_get_ns(c_int) -> i64;
    }
    optional {
        /// Names the version in messages: { { i64 major, minor, micro } *, ... } *.
        fn qmp_query_version(Errp) -> *const *const [i64; 3];
        /// Without it, no DMA with a PASID.
        fn vtd_find_add_as(*mut Object, *mut PciBus, c_int, u32) -> *mut u8;
        fn pcie_pasid_init(*mut Object, u16, u8, bool, bool);
        fn pcie_pasid_enabled(*mut Object) -> bool;
        fn pcie_ats_init(*mut Object, u16, bool);
        fn pcie_ats_enabled(*mut Object) -> bool;
        fn pcie_pri_init(*mut Object, u16, u32, bool);
        fn pcie_pri_enabled(*mut Object) -> bool;
        fn pcie_cap_flr_init(*mut Object);
        fn pcie_cap_flr_write_config(*mut Object, u32, u32, c_int);
        fn pci_ats_request_translation(
            *mut Object, u32, bool, bool, u64, usize, bool, *mut TlbEntry, usize, *mut u32,
        ) -> isize;
        fn pci_iommu_init_iotlb_notifier(*mut Object, *mut IotlbNotifier, IotlbNotify, *mut c_void) -> c_int;
        fn pci_iommu_register_iotlb_notifier(*mut Object, u32, *mut IotlbNotifier) -> c_int;
        fn pci_iommu_unregister_iotlb_notifier(*mut Object, u32, *mut IotlbNotifier) -> c_int;
        fn migrate_add_blocker(Errp, Errp) -> c_int;
        fn migrate_del_blocker(Errp);
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

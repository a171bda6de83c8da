// SPDX-License-Identifier: GPL-2.0

//! QEMU's functions and variables, by name.

use std::ffi::{c_char, c_int, c_void, CStr};
use std::mem::transmute_copy;

use crate::ats::Notifier;
use crate::ffi::{
    AddressSpace, AioContext, Bh, Clock, Errp, MemoryRegion, Object, ObjectClass, ObjectFunction,
    ObjectProperty, PciBus, PciDevice, PciDeviceClass, RegionOps, Text, Timer, TlbEntry, Visitor,
    VtdUnit,
};
use crate::layout::TranslationHeader;
use crate::migration::Blocker;

/// Reads or writes a property (include/qom/object.h, `ObjectPropertyAccessor`). The last but one is what
/// the property was added with.
pub(crate) type Accessor = extern "C" fn(&Object, &Visitor, Text<'_>, usize, Errp<'_>);

/// Called when a translation has become void (include/system/memory.h, `IOMMUNotify`).
pub(crate) type IotlbNotify = extern "C" fn(&Notifier, &TlbEntry);

macro_rules! symbols {
    (unsafe extern "C" {
        required {
            $(fn $name:ident($($args:tt)*) $(-> $ret:ty)?;)*
        }
        required_raw {
            $(fn $raw:ident($($raw_args:tt)*) $(-> $raw_ret:ty)?;)*
        }
        optional {
            $($(#[$doc:meta])* fn $optional:ident($($optional_args:tt)*) $(-> $optional_ret:ty)?;)*
        }
        optional_raw {
            $(
                $(#[$raw_doc:meta])*
                fn $optional_raw:ident($($optional_raw_args:tt)*) $(-> $optional_raw_ret:ty)?;
            )*
        }
        data { $($datum:ident: $datum_type:ty;)* }
    }) => {
        /// What QEMU offers. A required function that is missing is a refusal; an optional one costs a
        /// feature.
        pub(crate) struct Symbols {
            $(pub(crate) $name: extern "C" fn($($args)*) $(-> $ret)?,)*
            $(pub(crate) $raw: unsafe extern "C" fn($($raw_args)*) $(-> $raw_ret)?,)*
            $(
                $(#[$doc])*
                pub(crate) $optional: Option<extern "C" fn($($optional_args)*) $(-> $optional_ret)?>,
            )*
            $(
                $(#[$raw_doc])*
                pub(crate) $optional_raw:
                    Option<unsafe extern "C" fn($($optional_raw_args)*) $(-> $optional_raw_ret)?>,
            )*
            $(pub(crate) $datum: &'static $datum_type,)*
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
                let required = [
                    $(stringify!($name),)* $(stringify!($raw),)* $(stringify!($datum),)*
                ];
                let missing: Vec<_> =
                    required.into_iter().filter(|name| find(name).is_null()).collect();
                if !missing.is_empty() {
                    return Err(missing);
                }
                // SAFETY: functions and data of these names, as QEMU's headers declare them. No address
                // is null but those of optional functions, for which that is `None`.
                Ok(unsafe {
                    Self {
                        $($name: transmute_copy(&find(stringify!($name))),)*
                        $($raw: transmute_copy(&find(stringify!($raw))),)*
                        $($optional: transmute_copy(&find(stringify!($optional))),)*
                        $($optional_raw: transmute_copy(&find(stringify!($optional_raw))),)*
                        $($datum: &*find(stringify!($datum)).cast(),)*
                    }
                })
            }

            /// The optional functions that this QEMU lacks.
            pub(crate) fn absent(&self) -> Vec<&'static str> {
                let absent = [
                    $((self.$optional.is_none(), stringify!($optional)),)*
                    $((self.$optional_raw.is_none(), stringify!($optional_raw)),)*
                ];
                absent.into_iter().filter_map(|(absent, name)| absent.then_some(name)).collect()
            }
        }
    };
}

// SAFETY: the types are those of QEMU's headers. Those that are not raw demand of their arguments, and
// promise of their results, what the types say: that it exists, is of that kind, and that the big lock is
// held. Numbers that make no sense end in one of QEMU's assertions; what is added to a class, to a
// configuration space or to the unit's translations stays there. The raw ones demand more: that something
// lives longer than the call, that a number is in range, that something is done once, or the big lock where
// no argument shows it.
symbols!(unsafe extern "C" {
    required {
        // qom/object.c
        fn object_class_get_name(&ObjectClass) -> Text<'_>;
        fn object_class_get_parent(&ObjectClass) -> Option<&ObjectClass>;
        fn object_class_is_abstract(&ObjectClass) -> bool;
        fn object_class_property_add(
            &ObjectClass, Text<'_>, Text<'_>, Accessor, Accessor, Option<ObjectFunction>, usize,
        ) -> *mut ObjectProperty;
        fn object_ref(&Object) -> *mut Object;
        fn object_property_get_bool(&Object, Text<'_>, Errp<'_>) -> bool;
        fn visit_type_bool(&Visitor, Text<'_>, &mut bool, Errp<'_>) -> bool;
        fn visit_type_uint32(&Visitor, Text<'_>, &mut u32, Errp<'_>) -> bool;

        // hw/core/qdev.c, hw/pci/pci.c, hw/pci/pcie.c, hw/pci/msix.c
        fn device_class_set_legacy_reset(&PciDeviceClass, ObjectFunction);
        fn qdev_get_parent_bus(&PciDevice) -> &PciBus;
        fn pci_bus_is_express(&PciBus) -> bool;
        fn pci_requester_id(&PciDevice) -> u16;
        fn pci_device_iommu_address_space(&PciDevice) -> &AddressSpace;
        fn pcie_endpoint_cap_init(&PciDevice, u8) -> c_int;
        fn msix_uninit_exclusive_bar(&PciDevice);
        fn msix_notify(&PciDevice, u32);

        // util/async.c, util/qemu-timer.c
        fn qemu_get_aio_context() -> *mut AioContext;
        fn qemu_clock_get_ns(Clock) -> i64;
    }
    required_raw {
        // qom/object.c
        fn type_register_static(*const c_void) -> *mut c_void;
        fn object_class_by_name(Text<'_>) -> Option<&'static ObjectClass>;
        fn object_class_property_set_description(&ObjectClass, Text<'_>, Text<'_>);
        fn object_new(Text<'_>) -> *mut Object;
        fn object_unref(*const Object);
        fn object_resolve_path_type(Text<'_>, Text<'_>, *mut bool) -> *mut Object;

        // util/error.c, util/error-report.c
        fn error_setg_internal(
            Errp<'_>, *const c_char, c_int, *const c_char, *const c_char, ...
        );
        fn error_report(*const c_char, ...);
        fn warn_report(*const c_char, ...);

        // hw/pci/pci.c, hw/pci/msix.c
        fn pci_default_read_config(&PciDevice, u32, c_int) -> u32;
        fn pci_default_write_config(&PciDevice, u32, u32, c_int);
        fn pci_bridge_write_config(&PciDevice, u32, u32, c_int);
        fn pci_register_bar(&PciDevice, c_int, u8, *mut MemoryRegion);
        fn msix_init_exclusive_bar(&PciDevice, u32, u8, Errp<'_>) -> c_int;
        fn msix_vector_use(&PciDevice, u32);

        // system/memory.c, system/physmem.c
        fn memory_region_init_io(
            *mut MemoryRegion, Option<&Object>, *const c_void, *const c_void, Option<Text<'_>>, u64,
        );
        fn memory_region_dispatch_read(*mut MemoryRegion, u64, &mut u64, u32, u64) -> u32;
        fn memory_region_dispatch_write(*mut MemoryRegion, u64, u64, u32, u64) -> u32;
        fn address_space_rw(&AddressSpace, u64, u64, *mut c_void, u64, bool) -> u32;

        // util/async.c, util/qemu-timer.c, util/main-loop.c
        fn aio_bh_new_full(
            *mut AioContext, ObjectFunction, *const Object, Text<'_>, *mut c_void,
        ) -> *mut Bh;
        fn qemu_bh_schedule(*mut Bh);
        fn qemu_bh_cancel(*mut Bh);
        fn qemu_bh_delete(*mut Bh);
        fn timer_init_full(
            *mut Timer, *mut c_void, Clock, c_int, c_int, ObjectFunction, *const Object,
        );
        fn timer_mod_ns(*mut Timer, i64);
        fn timer_del(*mut Timer);
    }
    optional {
        /// Names the version in messages: { { i64 major, minor, micro } *, ... } *.
        fn qmp_query_version(Errp<'_>) -> Option<&'static &'static [i64; 3]>;
        fn pcie_pasid_init(&PciDevice, u16, u8, bool, bool);
        fn pcie_pasid_enabled(&PciDevice) -> bool;
        fn pcie_ats_init(&PciDevice, u16, bool);
        fn pcie_ats_enabled(&PciDevice) -> bool;
        fn pcie_pri_init(&PciDevice, u16, u32, bool);
        fn pcie_pri_enabled(&PciDevice) -> bool;
        fn pcie_cap_flr_init(&PciDevice);
        /// Without it, no DMA with a PASID. The result is never freed; an address space follows it.
        fn vtd_find_add_as(&VtdUnit, &PciBus, c_int, u32) -> Option<&'static TranslationHeader>;
        fn migrate_del_blocker(&Blocker);
    }
    optional_raw {
        fn pcie_cap_flr_write_config(&PciDevice, u32, u32, c_int);
        fn pci_ats_request_translation(
            &PciDevice, u32, bool, bool, u64, usize, bool, *mut TlbEntry, usize, *mut u32,
        ) -> isize;
        fn pci_iommu_init_iotlb_notifier(&PciDevice, &Notifier, IotlbNotify, *mut c_void) -> c_int;
        fn pci_iommu_register_iotlb_notifier(&PciDevice, u32, &Notifier) -> c_int;
        fn pci_iommu_unregister_iotlb_notifier(&PciDevice, u32, &Notifier) -> c_int;
        fn migrate_add_blocker(&Blocker, Errp<'_>) -> c_int;
    }
    data {
        address_space_memory: AddressSpace;
        unassigned_mem_ops: RegionOps<()>;
        pci_host_conf_le_ops: RegionOps<()>;
        pci_host_conf_be_ops: RegionOps<()>;
    }
});

#[cfg(test)]
mod tests {
    use super::*;

    /// Every symbol but those whose names are `missing`.
    fn without(missing: impl Fn(&[u8]) -> bool) -> Result<Symbols, Vec<&'static str>> {
        let somewhere = std::ptr::from_ref(&ROOM).cast_mut().cast();
        let find = |name: &CStr| match missing(name.to_bytes()) {
            true => std::ptr::null_mut(),
            false => somewhere,
        };
        // SAFETY: nothing is called or read.
        unsafe { Symbols::resolve(find) }
    }

    /// As long and as aligned as any of the data.
    static ROOM: [u64; 10] = [0; 10];

    #[test]
    fn every_missing_name_is_reported() {
        let missing = without(|_| true).err().unwrap_or_default();
        assert!(missing.contains(&"type_register_static"));
        assert!(missing.contains(&"address_space_memory"));
        assert!(!missing.contains(&"vtd_find_add_as"));

        let missing = without(|name| name == b"msix_notify");
        assert_eq!(missing.err(), Some(vec!["msix_notify"]));
    }

    #[test]
    fn optional_names_may_be_missing() {
        let symbols = without(|name| name.starts_with(b"pcie_p")).ok().unwrap();
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

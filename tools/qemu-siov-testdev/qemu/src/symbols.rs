// SPDX-License-Identifier: GPL-2.0

//! QEMU's functions and variables, by name, with the types that its headers give them.

use std::ffi::{c_char, c_int, c_uint, c_void, CStr};

use crate::ffi::{
    Accessor, AddressSpace, AioContext, Bh, Clock, IommuNotifier, IotlbNotify, MemoryRegion,
    Object, ObjectClass, ObjectFunction, ObjectProperty, OpaqueFunction, PciBus, PciDevice,
    PciDeviceClass, QemuError, ReentrancyGuard, RegionOps, Timer, TimerListGroup, TlbEntry,
    TypeImpl, TypeInfo, Visitor, VtdUnit,
};
use crate::layout::TranslationHeader;
use crate::libc::function;

/// Lists functions and variables. Each row says by `unsafe` that QEMU has something of this name
/// and type, and argues it by the declaration.
macro_rules! symbols {
    (
        required { $(unsafe fn $name:ident($($args:tt)*) $(-> $ret:ty)?;)* }
        optional {
            $($(#[$doc:meta])* unsafe fn $optional:ident($($optional_args:tt)*) $(-> $optional_ret:ty)?;)*
        }
        data { $(unsafe static $datum:ident: $datum_type:ty;)* }
    ) => {
        /// What QEMU offers. A required function that is missing is a refusal; an optional one
        /// costs a feature.
        pub(crate) struct Symbols {
            $(pub(crate) $name: unsafe extern "C" fn($($args)*) $(-> $ret)?,)*
            $(
                $(#[$doc])*
                pub(crate) $optional:
                    Option<unsafe extern "C" fn($($optional_args)*) $(-> $optional_ret)?>,
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
                let required = [$(stringify!($name),)* $(stringify!($datum),)*];
                let missing: Vec<_> =
                    required.into_iter().filter(|name| find(name).is_null()).collect();
                let found = || Some(Self {
                    // SAFETY: of this type, as the row argues.
                    $($name: unsafe { function(find(stringify!($name))) }?,)*
                    // SAFETY: of this type, as the row argues.
                    $($optional: unsafe { function(find(stringify!($optional))) },)*
                    // SAFETY: of this type, as the row argues; variables stay.
                    $($datum: unsafe { find(stringify!($datum)).cast::<$datum_type>().as_ref() }?,)*
                });
                found().ok_or(missing)
            }

            /// The optional functions that this QEMU lacks.
            pub(crate) fn absent(&self) -> Vec<&'static str> {
                let absent = [$((self.$optional.is_none(), stringify!($optional)),)*];
                absent.into_iter().filter_map(|(absent, name)| absent.then_some(name)).collect()
            }
        }
    };
}

symbols! {
    required {
        // qom/object.h

        // SAFETY: ObjectClass *object_class_by_name(const char *)
        unsafe fn object_class_by_name(*const c_char) -> *mut ObjectClass;
        // SAFETY: const char *object_class_get_name(ObjectClass *)
        unsafe fn object_class_get_name(*mut ObjectClass) -> *const c_char;
        // SAFETY: ObjectClass *object_class_get_parent(ObjectClass *)
        unsafe fn object_class_get_parent(*mut ObjectClass) -> *mut ObjectClass;
        // SAFETY: bool object_class_is_abstract(ObjectClass *)
        unsafe fn object_class_is_abstract(*mut ObjectClass) -> bool;
        // SAFETY: ObjectProperty *object_class_property_add(ObjectClass *, const char *,
        // const char *, ObjectPropertyAccessor *, ObjectPropertyAccessor *,
        // ObjectPropertyRelease *, void *)
        unsafe fn object_class_property_add(
            *mut ObjectClass, *const c_char, *const c_char, Accessor, Accessor,
            Option<unsafe extern "C" fn(*mut Object, *const c_char, *mut c_void)>, *mut c_void,
        ) -> *mut ObjectProperty;
        // SAFETY: void object_class_property_set_description(ObjectClass *, const char *,
        // const char *)
        unsafe fn object_class_property_set_description(*mut ObjectClass, *const c_char, *const c_char);
        // SAFETY: Object *object_new(const char *)
        unsafe fn object_new(*const c_char) -> *mut Object;
        // SAFETY: Object *object_ref(void *)
        unsafe fn object_ref(*mut c_void) -> *mut Object;
        // SAFETY: void object_unref(void *)
        unsafe fn object_unref(*mut c_void);
        // SAFETY: bool object_property_get_bool(Object *, const char *, Error **)
        unsafe fn object_property_get_bool(*mut Object, *const c_char, *mut *mut QemuError) -> bool;
        // SAFETY: Object *object_resolve_path_type(const char *, const char *, bool *)
        unsafe fn object_resolve_path_type(*const c_char, *const c_char, *mut bool) -> *mut Object;
        // SAFETY: Type type_register_static(const TypeInfo *)
        unsafe fn type_register_static(*const TypeInfo) -> *mut TypeImpl;

        // qapi/visitor.h

        // SAFETY: bool visit_type_bool(Visitor *, const char *, bool *, Error **)
        unsafe fn visit_type_bool(*mut Visitor, *const c_char, *mut bool, *mut *mut QemuError) -> bool;
        // SAFETY: bool visit_type_uint32(Visitor *, const char *, uint32_t *, Error **)
        unsafe fn visit_type_uint32(*mut Visitor, *const c_char, *mut u32, *mut *mut QemuError) -> bool;

        // qapi/error.h

        // SAFETY: void error_setg_internal(Error **, const char *, int, const char *, const char *,
        // ...)
        unsafe fn error_setg_internal(
            *mut *mut QemuError, *const c_char, c_int, *const c_char, *const c_char, ...
        );

        // qemu/error-report.h

        // SAFETY: void error_report(const char *, ...)
        unsafe fn error_report(*const c_char, ...);
        // SAFETY: void warn_report(const char *, ...)
        unsafe fn warn_report(*const c_char, ...);

        // hw/qdev-core.h

        // SAFETY: void device_class_set_legacy_reset(DeviceClass *, DeviceReset)
        unsafe fn device_class_set_legacy_reset(*mut PciDeviceClass, ObjectFunction);
        // SAFETY: BusState *qdev_get_parent_bus(const DeviceState *)
        unsafe fn qdev_get_parent_bus(*const PciDevice) -> *mut PciBus;

        // hw/pci/pci.h, pci_bus.h, pci_bridge.h and pcie.h

        // SAFETY: bool pci_bus_is_express(const PCIBus *)
        unsafe fn pci_bus_is_express(*const PciBus) -> bool;
        // SAFETY: uint16_t pci_requester_id(PCIDevice *)
        unsafe fn pci_requester_id(*mut PciDevice) -> u16;
        // SAFETY: AddressSpace *pci_device_iommu_address_space(PCIDevice *)
        unsafe fn pci_device_iommu_address_space(*mut PciDevice) -> *mut AddressSpace;
        // SAFETY: uint32_t pci_default_read_config(PCIDevice *, uint32_t, int)
        unsafe fn pci_default_read_config(*mut PciDevice, u32, c_int) -> u32;
        // SAFETY: void pci_default_write_config(PCIDevice *, uint32_t, uint32_t, int)
        unsafe fn pci_default_write_config(*mut PciDevice, u32, u32, c_int);
        // SAFETY: void pci_bridge_write_config(PCIDevice *, uint32_t, uint32_t, int)
        unsafe fn pci_bridge_write_config(*mut PciDevice, u32, u32, c_int);
        // SAFETY: void pci_register_bar(PCIDevice *, int, uint8_t, MemoryRegion *)
        unsafe fn pci_register_bar(*mut PciDevice, c_int, u8, *mut MemoryRegion);
        // SAFETY: int pcie_endpoint_cap_init(PCIDevice *, uint8_t)
        unsafe fn pcie_endpoint_cap_init(*mut PciDevice, u8) -> c_int;

        // hw/pci/msix.h

        // SAFETY: int msix_init_exclusive_bar(PCIDevice *, uint32_t, uint8_t, Error **)
        unsafe fn msix_init_exclusive_bar(*mut PciDevice, u32, u8, *mut *mut QemuError) -> c_int;
        // SAFETY: void msix_uninit_exclusive_bar(PCIDevice *)
        unsafe fn msix_uninit_exclusive_bar(*mut PciDevice);
        // SAFETY: void msix_vector_use(PCIDevice *, unsigned)
        unsafe fn msix_vector_use(*mut PciDevice, c_uint);
        // SAFETY: void msix_notify(PCIDevice *, unsigned)
        unsafe fn msix_notify(*mut PciDevice, c_uint);

        // system/memory.h

        // SAFETY: void memory_region_init_io(MemoryRegion *, Object *, const MemoryRegionOps *,
        // void *, const char *, uint64_t)
        unsafe fn memory_region_init_io(
            *mut MemoryRegion, *mut Object, *const RegionOps, *mut c_void, *const c_char, u64,
        );
        // SAFETY: MemTxResult memory_region_dispatch_read(MemoryRegion *, hwaddr, uint64_t *,
        // MemOp, MemTxAttrs)
        unsafe fn memory_region_dispatch_read(*mut MemoryRegion, u64, *mut u64, u32, u64) -> u32;
        // SAFETY: MemTxResult memory_region_dispatch_write(MemoryRegion *, hwaddr, uint64_t, MemOp,
        // MemTxAttrs)
        unsafe fn memory_region_dispatch_write(*mut MemoryRegion, u64, u64, u32, u64) -> u32;
        // SAFETY: MemTxResult address_space_rw(AddressSpace *, hwaddr, MemTxAttrs, void *, hwaddr,
        // bool)
        unsafe fn address_space_rw(*mut AddressSpace, u64, u64, *mut c_void, u64, bool) -> u32;

        // block/aio.h and qemu/main-loop.h

        // SAFETY: AioContext *qemu_get_aio_context(void)
        unsafe fn qemu_get_aio_context() -> *mut AioContext;
        // SAFETY: QEMUBH *aio_bh_new_full(AioContext *, QEMUBHFunc *, void *, const char *,
        // MemReentrancyGuard *)
        unsafe fn aio_bh_new_full(
            *mut AioContext, OpaqueFunction, *mut c_void, *const c_char, *mut ReentrancyGuard,
        ) -> *mut Bh;
        // SAFETY: void qemu_bh_schedule(QEMUBH *)
        unsafe fn qemu_bh_schedule(*mut Bh);
        // SAFETY: void qemu_bh_cancel(QEMUBH *)
        unsafe fn qemu_bh_cancel(*mut Bh);
        // SAFETY: void qemu_bh_delete(QEMUBH *)
        unsafe fn qemu_bh_delete(*mut Bh);

        // qemu/timer.h

        // SAFETY: int64_t qemu_clock_get_ns(QEMUClockType)
        unsafe fn qemu_clock_get_ns(Clock) -> i64;
        // SAFETY: void timer_init_full(QEMUTimer *, QEMUTimerListGroup *, QEMUClockType, int, int,
        // QEMUTimerCB *, void *)
        unsafe fn timer_init_full(
            *mut Timer, *mut TimerListGroup, Clock, c_int, c_int, OpaqueFunction, *mut c_void,
        );
        // SAFETY: void timer_mod_ns(QEMUTimer *, int64_t)
        unsafe fn timer_mod_ns(*mut Timer, i64);
        // SAFETY: void timer_del(QEMUTimer *)
        unsafe fn timer_del(*mut Timer);
    }
    optional {
        /// Names the version in messages.
        // SAFETY: qapi-commands-control.h: VersionInfo *qmp_query_version(Error **),
        // which starts with a pointer to { int64_t major, minor, micro; }
        unsafe fn qmp_query_version(*mut *mut QemuError) -> *const *const [i64; 3];
        // SAFETY: hw/pci/pcie.h: void pcie_pasid_init(PCIDevice *, uint16_t, uint8_t, bool, bool)
        unsafe fn pcie_pasid_init(*mut PciDevice, u16, u8, bool, bool);
        // SAFETY: hw/pci/pcie.h: bool pcie_pasid_enabled(const PCIDevice *)
        unsafe fn pcie_pasid_enabled(*const PciDevice) -> bool;
        // SAFETY: hw/pci/pcie.h: void pcie_ats_init(PCIDevice *, uint16_t, bool)
        unsafe fn pcie_ats_init(*mut PciDevice, u16, bool);
        // SAFETY: hw/pci/pcie.h: bool pcie_ats_enabled(const PCIDevice *)
        unsafe fn pcie_ats_enabled(*const PciDevice) -> bool;
        // SAFETY: hw/pci/pcie.h: void pcie_pri_init(PCIDevice *, uint16_t, uint32_t, bool)
        unsafe fn pcie_pri_init(*mut PciDevice, u16, u32, bool);
        // SAFETY: hw/pci/pcie.h: bool pcie_pri_enabled(const PCIDevice *)
        unsafe fn pcie_pri_enabled(*const PciDevice) -> bool;
        // SAFETY: hw/pci/pcie.h: void pcie_cap_flr_init(PCIDevice *)
        unsafe fn pcie_cap_flr_init(*mut PciDevice);
        // SAFETY: hw/pci/pcie.h: void pcie_cap_flr_write_config(PCIDevice *, uint32_t, uint32_t,
        // int)
        unsafe fn pcie_cap_flr_write_config(*mut PciDevice, u32, u32, c_int);
        /// Without it, no DMA with a PASID. An address space follows the header.
        // SAFETY: hw/i386/intel_iommu.h: VTDAddressSpace *vtd_find_add_as(IntelIOMMUState *,
        // PCIBus *, int, unsigned)
        unsafe fn vtd_find_add_as(*mut VtdUnit, *mut PciBus, c_int, c_uint) -> *mut TranslationHeader;
        // SAFETY: hw/pci/pci.h: ssize_t pci_ats_request_translation(PCIDevice *, uint32_t, bool,
        // bool, hwaddr, size_t, bool, IOMMUTLBEntry *, size_t, uint32_t *)
        unsafe fn pci_ats_request_translation(
            *mut PciDevice, u32, bool, bool, u64, usize, bool, *mut TlbEntry, usize, *mut u32,
        ) -> isize;
        // SAFETY: hw/pci/pci.h: int pci_iommu_init_iotlb_notifier(PCIDevice *, IOMMUNotifier *,
        // IOMMUNotify, void *)
        unsafe fn pci_iommu_init_iotlb_notifier(
            *mut PciDevice, *mut IommuNotifier, IotlbNotify, *mut c_void,
        ) -> c_int;
        // SAFETY: hw/pci/pci.h: int pci_iommu_register_iotlb_notifier(PCIDevice *, uint32_t,
        // IOMMUNotifier *)
        unsafe fn pci_iommu_register_iotlb_notifier(*mut PciDevice, u32, *mut IommuNotifier) -> c_int;
        // SAFETY: hw/pci/pci.h: int pci_iommu_unregister_iotlb_notifier(PCIDevice *, uint32_t,
        // IOMMUNotifier *)
        unsafe fn pci_iommu_unregister_iotlb_notifier(*mut PciDevice, u32, *mut IommuNotifier) -> c_int;
        // SAFETY: migration/blocker.h: int migrate_add_blocker(Error **, Error **)
        unsafe fn migrate_add_blocker(*mut *mut QemuError, *mut *mut QemuError) -> c_int;
        // SAFETY: migration/blocker.h: void migrate_del_blocker(Error **)
        unsafe fn migrate_del_blocker(*mut *mut QemuError);
    }
    data {
        // SAFETY: system/address-spaces.h: AddressSpace address_space_memory
        unsafe static address_space_memory: AddressSpace;
        // SAFETY: system/memory-internal.h: const MemoryRegionOps unassigned_mem_ops
        unsafe static unassigned_mem_ops: RegionOps;
        // SAFETY: hw/pci/pci_host.h: const MemoryRegionOps pci_host_conf_le_ops
        unsafe static pci_host_conf_le_ops: RegionOps;
        // SAFETY: hw/pci/pci_host.h: const MemoryRegionOps pci_host_conf_be_ops
        unsafe static pci_host_conf_be_ops: RegionOps;
    }
}

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

// SPDX-License-Identifier: GPL-2.0

//! QEMU's structures that are compiled in, each checked at run time by [`layout`](crate::layout), and
//! opaque types for those that are only pointed to.

use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int, c_void};

use static_assertions::const_assert_eq;

macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            pub(crate) struct $name([u8; 0]);
        )*
    };
}

opaque! {
    /// Any QOM object: a device, an IOMMU.
    Object;
    /// A QOM class.
    ObjectClass;
    ObjectProperty;
    PciBus;
    MemoryRegion;
    AddressSpace;
    /// A bottom half.
    Bh;
    AioContext;
    Timer;
    Visitor;
    /// QEMU's `Error`.
    QemuError;
    /// An IOMMU notifier.
    IotlbNotifier;
}

/// `Error **`.
pub(crate) type Errp = *mut *mut QemuError;

/// `TypeInfo` (include/qom/object.h).
#[repr(C)]
pub(crate) struct TypeInfo {
    pub(crate) name: *const c_char,
    pub(crate) parent: *const c_char,
    pub(crate) instance_size: usize,
    pub(crate) instance_align: usize,
    pub(crate) instance_init: Option<unsafe extern "C" fn(*mut Object)>,
    pub(crate) instance_post_init: Option<unsafe extern "C" fn(*mut Object)>,
    pub(crate) instance_finalize: Option<unsafe extern "C" fn(*mut Object)>,
    pub(crate) is_abstract: bool,
    pub(crate) class_size: usize,
    pub(crate) class_init: Option<unsafe extern "C" fn(*mut ObjectClass, *const c_void)>,
    pub(crate) class_base_init: Option<unsafe extern "C" fn(*mut ObjectClass, *const c_void)>,
    pub(crate) class_data: *const c_void,
    pub(crate) interfaces: *const InterfaceInfo,
}

const_assert_eq!(size_of::<TypeInfo>(), 13 * 8);

impl TypeInfo {
    /// A type with nothing but a name and a parent.
    pub(crate) const fn new(name: *const c_char, parent: *const c_char) -> Self {
        Self {
            name,
            parent,
            instance_size: 0,
            instance_align: 0,
            instance_init: None,
            instance_post_init: None,
            instance_finalize: None,
            is_abstract: false,
            class_size: 0,
            class_init: None,
            class_base_init: None,
            class_data: std::ptr::null(),
            interfaces: std::ptr::null(),
        }
    }
}

/// `InterfaceInfo` (include/qom/object.h).
#[repr(transparent)]
pub(crate) struct InterfaceInfo(pub(crate) *const c_char);

/// `MemoryRegionOps` (include/system/memory.h).
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct RegionOps {
    pub(crate) read: Option<unsafe extern "C" fn(*mut c_void, u64, u32) -> u64>,
    pub(crate) write: Option<unsafe extern "C" fn(*mut c_void, u64, u64, u32)>,
    pub(crate) read_with_attrs: usize,
    pub(crate) write_with_attrs: usize,
    pub(crate) endianness: u32,
    pub(crate) valid: Valid,
    pub(crate) implemented: Implemented,
}

const_assert_eq!(size_of::<RegionOps>(), 0x50);

/// `MemoryRegionOps.valid`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Valid {
    pub(crate) min_access_size: u32,
    pub(crate) max_access_size: u32,
    pub(crate) unaligned: bool,
    pub(crate) accepts: usize,
}

/// `MemoryRegionOps.impl`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Implemented {
    pub(crate) min_access_size: u32,
    pub(crate) max_access_size: u32,
    pub(crate) unaligned: bool,
}

/// `IOMMUTLBEntry` (include/system/memory.h).
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct TlbEntry {
    pub(crate) target: *mut AddressSpace,
    pub(crate) iova: u64,
    pub(crate) translated: u64,
    pub(crate) mask: u64,
    pub(crate) permissions: u32,
    pub(crate) pasid: u32,
}

const_assert_eq!(size_of::<TlbEntry>(), 40);

impl TlbEntry {
    pub(crate) const NONE: Self = Self {
        target: std::ptr::null_mut(),
        iova: 0,
        translated: 0,
        mask: 0,
        permissions: 0,
        pasid: 0,
    };

    /// `IOMMU_RO`.
    pub(crate) const READ: u32 = 1;
    /// `IOMMU_WO`.
    pub(crate) const WRITE: u32 = 2;
}

/// `MEMTXATTRS_UNSPECIFIED`, which PCI devices use for DMA: the byte `unspecified` behind a word of
/// bit-fields is 1 (include/exec/memattrs.h).
pub(crate) const ATTRS_UNSPECIFIED: u64 = 1 << 32;

/// `PCI_NO_PASID` (include/hw/pci/pci.h).
pub(crate) const NO_PASID: u32 = u32::MAX;

/// `QEMU_CLOCK_VIRTUAL` (include/qemu/timer.h): guest time.
pub(crate) const CLOCK_VIRTUAL: c_int = 1;

/// `SCALE_NS` (include/qemu/timer.h).
pub(crate) const SCALE_NS: c_int = 1;

/// `PCI_BASE_ADDRESS_MEM_TYPE_64`.
pub(crate) const BAR_64: u8 = 4;

/// Room for a structure of QEMU of which only an upper bound of the size is known, at an address that
/// does not change. The upper half stays as it is unless the bound was wrong, which
/// [`is_intact`](Self::is_intact) tells.
#[repr(C, align(16))]
pub(crate) struct Storage(UnsafeCell<[u8; Storage::BYTES]>);

impl Storage {
    const BYTES: usize = 4096;

    /// Bytes that a structure may have.
    pub(crate) const USABLE: usize = Self::BYTES / 2;

    const CANARY: u8 = 0xa5;

    /// Zeroes, as QEMU's allocator gives them.
    pub(crate) fn new() -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes[Self::USABLE..].fill(Self::CANARY);
        Self(UnsafeCell::new(bytes))
    }

    /// For QEMU, which keeps the structure there.
    pub(crate) fn as_ptr<T>(&self) -> *mut T {
        self.0.get().cast()
    }

    pub(crate) fn is_intact(&self) -> bool {
        let bytes = self.bytes();
        bytes[Self::USABLE..]
            .iter()
            .all(|&byte| byte == Self::CANARY)
    }

    /// Whether the structure holds this pointer.
    pub(crate) fn holds(&self, pointer: usize) -> bool {
        let pointer = pointer.to_ne_bytes();
        let bytes = self.bytes();
        bytes[..Self::USABLE]
            .chunks_exact(size_of::<usize>())
            .any(|word| word == pointer)
    }

    fn bytes(&self) -> [u8; Self::BYTES] {
        // SAFETY: the cell is ours, and the big lock keeps QEMU from writing at the same time.
        unsafe { self.0.get().read() }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! QEMU's structures that are compiled in, each checked at run time by [`layout`](crate::layout),
//! and opaque types for those that are only pointed to.
//!
//! Functions have the types of their C prototypes, those that QEMU calls as well.
//!
//! Safe code cannot make the opaque ones, nor send them to another thread: it gets references from
//! QEMU, which passes them with the big lock held and for the time of a call. So a reference says
//! that there is such a structure, and that this thread holds the lock. QEMU writes to all of them:
//! without a cell in them the compiler would take a reference for the promise that nobody does.

use std::cell::{Cell, UnsafeCell};
use std::ffi::{c_char, c_int, c_void, CStr};
use std::marker::{PhantomData, PhantomPinned};
use std::sync::atomic::AtomicU8;

use static_assertions::const_assert_eq;

macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            pub(crate) struct $name {
                opaque: UnsafeCell<[u8; 0]>,
                kept_from_threads: PhantomData<(*mut u8, PhantomPinned)>,
            }

            impl $name {
                /// For QEMU.
                #[allow(dead_code)] // Not every kind is passed on.
                pub(crate) fn as_ptr(&self) -> *mut Self {
                    std::ptr::from_ref(self).cast_mut()
                }
            }
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
    /// A bottom half.
    Bh;
    AioContext;
    Timer;
    Visitor;
    /// QEMU's `Error`.
    QemuError;
    /// `IOMMUNotifier`.
    IommuNotifier;
    /// `TypeImpl`.
    TypeImpl;
    /// `QEMUTimerListGroup`.
    TimerListGroup;
    /// `MemReentrancyGuard`.
    ReentrancyGuard;
}

impl Object {
    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }
}

/// An address space. No safe function but those that hold the big lock does anything with one, so
/// threads may share it.
#[repr(C)]
pub(crate) struct AddressSpace([AtomicU8; 0]);

impl AddressSpace {
    /// For QEMU.
    pub(crate) fn as_ptr(&self) -> *mut Self {
        std::ptr::from_ref(self).cast_mut()
    }
}

/// Kinds of objects and classes: what else is promised where a reference exists.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident: $base:ident;)*) => {
        $(
            $(#[$doc])*
            #[repr(transparent)]
            pub(crate) struct $name($base);

            impl $name {
                /// For QEMU.
                pub(crate) fn as_ptr(&self) -> *mut Self {
                    std::ptr::from_ref(self).cast_mut()
                }
            }

            impl AsRef<$base> for $name {
                fn as_ref(&self) -> &$base {
                    &self.0
                }
            }
        )*
    };
}

kinds! {
    /// A PCI device that is on its bus and has a configuration space: from realize on, until exit
    /// is over.
    PciDevice: Object;
    /// The emulated VT-d unit.
    VtdUnit: Object;
    /// The class of PCI devices of ours, while it is made.
    PciDeviceClass: ObjectClass;
}

/// `Error **`: a place for one error.
///
/// # Invariants
///
/// Null, or a place that QEMU may write an error to for as long as `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Errp<'a>(*mut *mut QemuError, PhantomData<&'a Cell<*mut QemuError>>);

impl<'a> Errp<'a> {
    /// For whom no error is of interest.
    pub(crate) const NONE: Self = Self(std::ptr::null_mut(), PhantomData);

    /// A place of ours. If it is not null already, QEMU fails an assertion.
    pub(crate) fn new(place: &'a Cell<*mut QemuError>) -> Self {
        Self(place.as_ptr(), PhantomData)
    }

    /// A place of QEMU's.
    ///
    /// # Safety
    ///
    /// As the type's invariant.
    pub(crate) unsafe fn from_raw(errp: *mut *mut QemuError) -> Self {
        Self(errp, PhantomData)
    }

    /// For QEMU.
    pub(crate) fn as_ptr(self) -> *mut *mut QemuError {
        self.0
    }
}

/// `void (*)(Object *)`.
pub(crate) type ObjectFunction = unsafe extern "C" fn(*mut Object);

/// `void (*)(void *)`: `QEMUBHFunc` and `QEMUTimerCB`.
pub(crate) type OpaqueFunction = unsafe extern "C" fn(*mut c_void);

/// `void (*)(ObjectClass *, const void *)`.
pub(crate) type ClassFunction = unsafe extern "C" fn(*mut ObjectClass, *const c_void);

/// `ObjectPropertyAccessor` (include/qom/object.h): reads or writes a property. The last but one is
/// what the property was added with.
pub(crate) type Accessor = unsafe extern "C" fn(
    *mut Object,
    *mut Visitor,
    *const c_char,
    *mut c_void,
    *mut *mut QemuError,
);

/// `IOMMUNotify` (include/system/memory.h): called when a translation has become void.
pub(crate) type IotlbNotify = unsafe extern "C" fn(*mut IommuNotifier, *mut TlbEntry);

/// `TypeInfo` (include/qom/object.h).
#[repr(C)]
pub(crate) struct TypeInfo {
    pub(crate) name: *const c_char,
    pub(crate) parent: *const c_char,
    pub(crate) instance_size: usize,
    pub(crate) instance_align: usize,
    pub(crate) instance_init: Option<ObjectFunction>,
    pub(crate) instance_post_init: Option<ObjectFunction>,
    pub(crate) instance_finalize: Option<ObjectFunction>,
    pub(crate) is_abstract: bool,
    pub(crate) class_size: usize,
    pub(crate) class_init: Option<ClassFunction>,
    pub(crate) class_base_init: Option<ClassFunction>,
    pub(crate) class_data: *const c_void,
    /// Up to one with a null name.
    pub(crate) interfaces: *const InterfaceInfo,
}

const_assert_eq!(size_of::<TypeInfo>(), 13 * 8);

/// `InterfaceInfo` (include/qom/object.h).
#[repr(transparent)]
pub(crate) struct InterfaceInfo(pub(crate) *const c_char);

impl TypeInfo {
    /// A type with nothing but a name and a parent.
    pub(crate) fn new(name: &'static CStr, parent: &'static CStr) -> Self {
        Self {
            name: name.as_ptr(),
            parent: parent.as_ptr(),
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

/// `MemoryRegionOps.read`; the first is the region's opaque pointer.
pub(crate) type RegionRead = unsafe extern "C" fn(*mut c_void, u64, u32) -> u64;

/// `MemoryRegionOps.write`; the first is the region's opaque pointer.
pub(crate) type RegionWrite = unsafe extern "C" fn(*mut c_void, u64, u64, u32);

/// `MemoryRegionOps` (include/system/memory.h).
#[repr(C)]
pub(crate) struct RegionOps {
    pub(crate) read: Option<RegionRead>,
    pub(crate) write: Option<RegionWrite>,
    pub(crate) read_with_attrs: usize,
    pub(crate) write_with_attrs: usize,
    pub(crate) endianness: u32,
    pub(crate) valid: Valid,
    pub(crate) implemented: Implemented,
}

const_assert_eq!(size_of::<RegionOps>(), 0x50);

/// `MemoryRegionOps.valid`.
#[repr(C)]
pub(crate) struct Valid {
    pub(crate) min_access_size: u32,
    pub(crate) max_access_size: u32,
    pub(crate) unaligned: u8,
    pub(crate) accepts: usize,
}

/// `MemoryRegionOps.impl`.
#[repr(C)]
pub(crate) struct Implemented {
    pub(crate) min_access_size: u32,
    pub(crate) max_access_size: u32,
    pub(crate) unaligned: u8,
}

/// `IOMMUTLBEntry` (include/system/memory.h).
#[repr(C)]
pub(crate) struct TlbEntry {
    pub(crate) target: *const AddressSpace,
    pub(crate) iova: u64,
    pub(crate) translated: u64,
    pub(crate) mask: u64,
    pub(crate) permissions: u32,
    pub(crate) pasid: u32,
}

const_assert_eq!(size_of::<TlbEntry>(), 40);

impl TlbEntry {
    pub(crate) const NONE: Self = Self {
        target: std::ptr::null(),
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

/// `QEMUClockType` (include/qemu/timer.h).
#[repr(C)]
pub(crate) enum Clock {
    /// Guest time.
    Virtual = 1,
}

/// `SCALE_NS` (include/qemu/timer.h).
pub(crate) const SCALE_NS: c_int = 1;

/// `PCI_BASE_ADDRESS_MEM_TYPE_64`.
pub(crate) const BAR_64: u8 = 4;

/// Room for a structure of QEMU of which only an upper bound of the size is known, at an address
/// that does not change. The upper half stays as it is unless the bound was wrong, which
/// [`is_intact`](Self::is_intact) tells.
#[repr(C, align(16))]
pub(crate) struct Storage([Cell<u8>; Storage::BYTES]);

impl Storage {
    const BYTES: usize = 4096;

    /// Bytes that a structure may have.
    pub(crate) const USABLE: usize = Self::BYTES / 2;

    const CANARY: u8 = 0xa5;

    /// Zeroes, as QEMU's allocator gives them.
    pub(crate) fn new() -> Self {
        let storage = Self([const { Cell::new(0) }; Self::BYTES]);
        storage.0[Self::USABLE..]
            .iter()
            .for_each(|byte| byte.set(Self::CANARY));
        storage
    }

    /// For QEMU, which keeps the structure there.
    pub(crate) fn as_ptr<T>(&self) -> *mut T {
        self.0.as_ptr().cast_mut().cast()
    }

    pub(crate) fn is_intact(&self) -> bool {
        self.0[Self::USABLE..]
            .iter()
            .all(|byte| byte.get() == Self::CANARY)
    }

    /// Whether the structure holds this pointer.
    pub(crate) fn holds(&self, pointer: usize) -> bool {
        let pointer = pointer.to_ne_bytes();
        self.0[..Self::USABLE]
            .chunks_exact(size_of::<usize>())
            .any(|word| word.iter().map(Cell::get).eq(pointer))
    }
}

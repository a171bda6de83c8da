// SPDX-License-Identifier: GPL-2.0

//! Address translation services: translations that the IOMMU gives, and takes back.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{c_int, c_void};

use siov_types::{Iova, IovaRange, Pasid, PhysAddr, PAGE_SIZE};

use crate::dma::DmaError;
use crate::ffi::{IotlbNotifier, Object, Storage, TlbEntry, NO_PASID};
use crate::qemu::Qemu;
use crate::symbols::IotlbNotify;

/// A translation of one page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translation {
    /// Where the page lies.
    pub page: PhysAddr,
    /// Whether writes are allowed.
    pub writable: bool,
}

/// Translations that the IOMMU takes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Invalidation {
    /// Whose: those of one PASID, or of requests without one.
    pub pasid: Option<Pasid>,
    /// Which.
    pub range: IovaRange,
}

/// QEMU's notifier, first, and what it is for.
#[repr(C)]
struct Notifier {
    storage: Storage,
    pasid: Option<Pasid>,
    heard: *const RefCell<VecDeque<Invalidation>>,
}

/// The functions of QEMU that ATS takes.
#[derive(Clone, Copy)]
struct Functions {
    enabled: unsafe extern "C" fn(*mut Object) -> bool,
    request: Request,
    init: unsafe extern "C" fn(*mut Object, *mut IotlbNotifier, IotlbNotify, *mut c_void) -> c_int,
    register: unsafe extern "C" fn(*mut Object, u32, *mut IotlbNotifier) -> c_int,
    unregister: unsafe extern "C" fn(*mut Object, u32, *mut IotlbNotifier) -> c_int,
}

type Request = unsafe extern "C" fn(
    *mut Object,
    u32,
    bool,
    bool,
    u64,
    usize,
    bool,
    *mut TlbEntry,
    usize,
    *mut u32,
) -> isize;

/// The device's side of ATS.
pub(crate) struct Ats {
    qemu: &'static Qemu,
    object: *mut Object,
    functions: Option<Functions>,
    /// One for each PASID that has had translations. Boxed, because QEMU keeps their addresses.
    notifiers: RefCell<BTreeMap<u32, Box<Notifier>>>,
    /// What the notifiers heard. Boxed, because they keep its address.
    invalidations: Box<RefCell<VecDeque<Invalidation>>>,
}

impl Ats {
    pub(crate) fn new(qemu: &'static Qemu, object: *mut Object) -> Self {
        let symbols = &qemu.symbols;
        let functions = || {
            Some(Functions {
                enabled: symbols.pcie_ats_enabled?,
                request: symbols.pci_ats_request_translation?,
                init: symbols.pci_iommu_init_iotlb_notifier?,
                register: symbols.pci_iommu_register_iotlb_notifier?,
                unregister: symbols.pci_iommu_unregister_iotlb_notifier?,
            })
        };
        Self {
            qemu,
            object,
            functions: functions(),
            notifiers: RefCell::default(),
            invalidations: Box::default(),
        }
    }

    /// Whether the guest has enabled it and the IOMMU takes part.
    pub(crate) fn is_enabled(&self) -> bool {
        let Some(functions) = self.functions else {
            return false;
        };
        // SAFETY: the object is a PCI device.
        unsafe { (functions.enabled)(self.object) && self.unit_takes_part() }
    }

    /// Registering a notifier with a unit that has no device TLB support would end QEMU.
    fn unit_takes_part(&self) -> bool {
        let symbols = &self.qemu.symbols;
        // SAFETY: the strings are static; an error is not wanted.
        unsafe {
            let unit = (symbols.object_resolve_path_type)(
                c"".as_ptr(),
                c"intel-iommu".as_ptr(),
                std::ptr::null_mut(),
            );
            !unit.is_null()
                && (symbols.object_property_get_bool)(
                    unit,
                    c"device-iotlb".as_ptr(),
                    std::ptr::null_mut(),
                )
        }
    }

    /// Asks for a translation.
    pub(crate) fn translate(
        &self,
        pasid: Option<Pasid>,
        address: Iova,
        write: bool,
    ) -> Result<Translation, DmaError> {
        let functions = self.functions.ok_or(DmaError::PasidUnsupported)?;
        self.listen(functions, pasid)?;
        let number = pasid.map_or(NO_PASID, Pasid::raw);
        let page = address.align_down(PAGE_SIZE).raw();
        let length = PAGE_SIZE as usize;
        let mut entry = TlbEntry::NONE;
        let mut errors = 0;
        // SAFETY: the object is a PCI device; there is room for the one result that is asked for.
        let found = unsafe {
            (functions.request)(
                self.object,
                number,
                false,
                false,
                page,
                length,
                !write,
                &mut entry,
                1,
                &mut errors,
            )
        };
        let wanted = if write {
            TlbEntry::WRITE
        } else {
            TlbEntry::READ
        };
        if found != 1 || errors != 0 || entry.permissions & wanted == 0 {
            return Err(DmaError::Blocked);
        }
        if !self.makes_sense(&entry, page) {
            self.qemu
                .warn("IOMMUTLBEntry: the answer to a translation request makes no sense");
            return Err(DmaError::Blocked);
        }
        Ok(Translation {
            page: PhysAddr::new((entry.translated & !entry.mask) | (page & entry.mask)),
            writable: entry.permissions & TlbEntry::WRITE != 0,
        })
    }

    fn makes_sense(&self, entry: &TlbEntry, page: u64) -> bool {
        let is_mask = entry.mask & entry.mask.wrapping_add(1) == 0 && entry.mask >= PAGE_SIZE - 1;
        let is_page = entry.iova & !entry.mask == page & !entry.mask;
        is_mask && is_page && entry.target == self.qemu.symbols.address_space_memory
    }

    /// Makes sure that invalidations of this PASID are heard.
    fn listen(&self, functions: Functions, pasid: Option<Pasid>) -> Result<(), DmaError> {
        let number = pasid.map_or(NO_PASID, Pasid::raw);
        let mut notifiers = self.notifiers.borrow_mut();
        if notifiers.contains_key(&number) {
            return Ok(());
        }
        let notifier = Box::new(Notifier {
            storage: Storage::new(),
            pasid,
            heard: &*self.invalidations,
        });
        let address = notifier.storage.as_ptr();
        // SAFETY: the notifier stays in its box until it is unregistered. Its structure is a few words;
        // what is set aside for it is checked below.
        let failed = unsafe {
            (functions.init)(self.object, address, notify, std::ptr::null_mut()) != 0
                || (functions.register)(self.object, number, address) != 0
        };
        if failed {
            return Err(DmaError::Blocked);
        }
        notifiers.insert(number, notifier);
        Ok(())
    }

    /// The next invalidation that was heard.
    pub(crate) fn take_invalidation(&self) -> Option<Invalidation> {
        self.invalidations.borrow_mut().pop_front()
    }
}

impl Drop for Ats {
    fn drop(&mut self) {
        let Some(functions) = self.functions else {
            return;
        };
        for (pasid, notifier) in std::mem::take(self.notifiers.get_mut()) {
            // SAFETY: it was registered, and the object is still there.
            unsafe { (functions.unregister)(self.object, pasid, notifier.storage.as_ptr()) };
        }
    }
}

unsafe extern "C" fn notify(notifier: *mut IotlbNotifier, entry: *const TlbEntry) {
    // SAFETY: the notifier is the start of one of ours, which is registered, so that it and the queue
    // live; the entry lives during the call.
    let (notifier, entry) = unsafe { (&*notifier.cast::<Notifier>(), &*entry) };
    let first = Iova::new(entry.iova & !entry.mask);
    let last = Iova::new(entry.iova | entry.mask);
    let Some(range) = IovaRange::new(first, last) else {
        return;
    };
    // SAFETY: as above.
    let mut heard = unsafe { &*notifier.heard }.borrow_mut();
    heard.push_back(Invalidation {
        pasid: notifier.pasid,
        range,
    });
}

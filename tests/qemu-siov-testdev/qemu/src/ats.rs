// SPDX-License-Identifier: GPL-2.0

//! Address translation services: translations that the IOMMU gives, and takes back.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{c_int, c_void};
use std::rc::Rc;

use siov_types::{Iova, IovaRange, Pasid, PhysAddr, PAGE_SIZE};

use crate::dma::{touches_interrupt_range, DmaError};
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
    heard: Rc<RefCell<VecDeque<Invalidation>>>,
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
    /// What the notifiers heard.
    invalidations: Rc<RefCell<VecDeque<Invalidation>>>,
    /// Offset of the PASID control register in configuration space.
    pasid_control: Option<u32>,
}

impl Ats {
    pub(crate) fn new(
        qemu: &'static Qemu,
        object: *mut Object,
        pasid_control: Option<u32>,
    ) -> Self {
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
            invalidations: Rc::default(),
            pasid_control,
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
        if touches_interrupt_range(address, 1) {
            return Err(DmaError::Blocked);
        }
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
            heard: self.invalidations.clone(),
        });
        let address = notifier.storage.as_ptr();
        // SAFETY: the notifier, a few words, stays in its box until it is unregistered.
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
        let _enabled = self
            .pasid_control
            .map(|at| PasidEnabled::set(self.qemu, self.object, at));
        for (pasid, notifier) in std::mem::take(self.notifiers.get_mut()) {
            let address = notifier.storage.as_ptr();
            // SAFETY: it was registered, and the object is still there.
            if unsafe { (functions.unregister)(self.object, pasid, address) } != 0 {
                // QEMU goes on using it.
                self.qemu.warn("IOMMUNotifier: it cannot be unregistered");
                std::mem::forget(notifier);
            }
        }
    }
}

/// PASID enabled in configuration space for as long as this exists: QEMU unregisters nothing of a PASID
/// while it is off, which it is when the guest has let go of the device.
struct PasidEnabled {
    qemu: &'static Qemu,
    object: *mut Object,
    at: u32,
    before: u32,
}

impl PasidEnabled {
    const ENABLE: u32 = 1 << 0;

    fn set(qemu: &'static Qemu, object: *mut Object, at: u32) -> Self {
        // SAFETY: the object is a PCI device with a PASID control register there.
        let before = unsafe { (qemu.symbols.pci_default_read_config)(object, at, 2) };
        let this = Self {
            qemu,
            object,
            at,
            before,
        };
        this.write(before | Self::ENABLE);
        this
    }

    fn write(&self, value: u32) {
        // SAFETY: as in set().
        unsafe { (self.qemu.symbols.pci_default_write_config)(self.object, self.at, value, 2) };
    }
}

impl Drop for PasidEnabled {
    fn drop(&mut self) {
        self.write(self.before);
    }
}

unsafe extern "C" fn notify(notifier: *mut IotlbNotifier, entry: *const TlbEntry) {
    // SAFETY: the notifier is the start of one of ours, which is registered and therefore lives; the
    // entry lives during the call.
    let (notifier, entry) = unsafe { (&*notifier.cast::<Notifier>(), &*entry) };
    let first = Iova::new(entry.iova & !entry.mask);
    let last = Iova::new(entry.iova | entry.mask);
    let Some(range) = IovaRange::new(first, last) else {
        return;
    };
    notifier.heard.borrow_mut().push_back(Invalidation {
        pasid: notifier.pasid,
        range,
    });
}

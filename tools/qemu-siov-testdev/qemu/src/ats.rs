// SPDX-License-Identifier: GPL-2.0

//! Address translation services: translations that the IOMMU gives, and takes back.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use siov_types::{Iova, IovaRange, Pasid, PhysAddr, PAGE_SIZE};

use crate::call::Call;
use crate::dma::{touches_interrupt_range, DmaError};
use crate::ffi::{IommuNotifier, PciDevice, Storage, TlbEntry, NO_PASID};
use crate::object_ref::ObjectRef;
use crate::qemu::Qemu;
use crate::unit::Unit;

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
pub(crate) struct Notifier {
    _storage: Storage,
    pasid: Option<Pasid>,
    heard: Rc<RefCell<VecDeque<Invalidation>>>,
}

impl Notifier {
    /// For QEMU.
    fn place(self: &Rc<Self>) -> *mut IommuNotifier {
        Rc::as_ptr(self).cast_mut().cast()
    }
}

/// The device's side of ATS.
pub(crate) struct Ats {
    qemu: &'static Qemu,
    device: Rc<ObjectRef<PciDevice>>,
    /// One for each PASID that has had translations. QEMU keeps their addresses.
    notifiers: RefCell<BTreeMap<u32, Rc<Notifier>>>,
    /// What the notifiers heard.
    invalidations: Rc<RefCell<VecDeque<Invalidation>>>,
    /// Offset of the PASID control register in configuration space.
    pasid_control: Option<u16>,
}

impl Ats {
    pub(crate) fn new(
        qemu: &'static Qemu,
        device: Rc<ObjectRef<PciDevice>>,
        pasid_control: Option<u16>,
    ) -> Self {
        Self {
            qemu,
            device,
            notifiers: RefCell::default(),
            invalidations: Rc::default(),
            pasid_control,
        }
    }

    /// Whether the guest has enabled it and the IOMMU takes part. Registering a notifier with a
    /// unit that has no device TLB support would end QEMU.
    pub(crate) fn is_enabled(&self) -> bool {
        let symbols = &self.qemu.symbols;
        symbols.pci_ats_request_translation.is_some()
            && symbols.is_ats_enabled(&self.device)
            && Unit::find(self.qemu, &self.device).is_some_and(|unit| unit.has_device_tlb())
    }

    /// Asks for a translation.
    pub(crate) fn translate(
        &self,
        pasid: Option<Pasid>,
        address: Iova,
        write: bool,
    ) -> Result<Translation, DmaError> {
        let symbols = &self.qemu.symbols;
        let request = symbols.pci_ats_request_translation;
        let request = request.ok_or(DmaError::PasidUnsupported)?;
        if touches_interrupt_range(address, 1) {
            return Err(DmaError::Blocked);
        }
        self.listen(pasid)?;
        let number = pasid.map_or(NO_PASID, Pasid::raw);
        let page = address.align_down(PAGE_SIZE).raw();
        let length = PAGE_SIZE as usize;
        let mut entry = TlbEntry::NONE;
        let mut errors = 0;
        // SAFETY: a PCI device; there is room for the one result that is asked for, and for the
        // number.
        let found = unsafe {
            request(
                self.device.as_ptr(),
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
        is_mask && is_page && std::ptr::eq(entry.target, self.qemu.symbols.address_space_memory)
    }

    /// Makes sure that invalidations of this PASID are heard.
    fn listen(&self, pasid: Option<Pasid>) -> Result<(), DmaError> {
        let number = pasid.map_or(NO_PASID, Pasid::raw);
        let mut notifiers = self.notifiers.borrow_mut();
        if notifiers.contains_key(&number) {
            return Ok(());
        }
        let symbols = &self.qemu.symbols;
        let functions = (
            symbols.pci_iommu_init_iotlb_notifier,
            symbols.pci_iommu_register_iotlb_notifier,
            symbols.pci_iommu_unregister_iotlb_notifier,
        );
        let (Some(init), Some(register), Some(_)) = functions else {
            return Err(DmaError::PasidUnsupported);
        };
        let notifier = Rc::new(Notifier {
            _storage: Storage::new(),
            pasid,
            heard: self.invalidations.clone(),
        });
        let (device, place) = (self.device.as_ptr(), notifier.place());
        // SAFETY: a PCI device; the notifier is a few words, for which there is room. QEMU calls
        // the function with it.
        if unsafe { init(device, place, notify_callback, std::ptr::null_mut()) } != 0 {
            return Err(DmaError::Blocked);
        }
        // SAFETY: a PCI device; the notifier is initialized, and stays where it is until it is
        // unregistered.
        if unsafe { register(device, number, place) } != 0 {
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
        let Some(unregister) = self.qemu.symbols.pci_iommu_unregister_iotlb_notifier else {
            return;
        };
        let _enabled = self
            .pasid_control
            .map(|at| PasidEnabled::set(self.qemu, self.device.clone(), at));
        for (pasid, notifier) in std::mem::take(self.notifiers.get_mut()) {
            // SAFETY: it was registered for this device and this PASID.
            if unsafe { unregister(self.device.as_ptr(), pasid, notifier.place()) } != 0 {
                // QEMU goes on using it.
                self.qemu.warn("IOMMUNotifier: it cannot be unregistered");
                std::mem::forget(notifier);
            }
        }
    }
}

/// PASID enabled in configuration space for as long as this exists: QEMU unregisters nothing of a
/// PASID while it is off, which it is when the guest has let go of the device.
struct PasidEnabled {
    qemu: &'static Qemu,
    device: Rc<ObjectRef<PciDevice>>,
    at: u16,
    before: u32,
}

impl PasidEnabled {
    const ENABLE: u32 = 1 << 0;

    fn set(qemu: &'static Qemu, device: Rc<ObjectRef<PciDevice>>, at: u16) -> Self {
        let before = qemu.symbols.read_config(&device, at);
        let this = Self {
            qemu,
            device,
            at,
            before,
        };
        this.write(before | Self::ENABLE);
        this
    }

    fn write(&self, value: u32) {
        let symbols = &self.qemu.symbols;
        symbols.write_config(&self.device, self.at.into(), value, 2, false);
    }
}

impl Drop for PasidEnabled {
    fn drop(&mut self) {
        self.write(self.before);
    }
}

fn notify(notifier: &Notifier, entry: &TlbEntry) {
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

/// `IOMMUNotify`.
///
/// # Safety
///
/// For the notifiers that a [`Notifier`] has room for.
unsafe extern "C" fn notify_callback(notifier: *mut IommuNotifier, entry: *mut TlbEntry) {
    let call = Call::new();
    // SAFETY: QEMU's notifier is the start of one of ours, which lives as long.
    let notifier = unsafe { call.lend::<Notifier>(notifier.cast()) };
    // SAFETY: what has become void.
    let entry = unsafe { call.lend(entry) };
    notify(notifier, entry);
}

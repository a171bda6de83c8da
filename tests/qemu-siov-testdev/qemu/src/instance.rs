// SPDX-License-Identifier: GPL-2.0

//! One device: what stands behind an object of QEMU, from its initialization to its end.
//!
//! The object itself has no room for us, because the size of what it inherits is not known; the
//! instance is found by the object's address.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use crate::device::{Device, Function};
use crate::error::Error;
use crate::ffi::{Errp, Object, QemuError};
use crate::host::Host;
use crate::qemu::Qemu;
use crate::region::Region;

/// Addresses of instances by those of their objects.
static INSTANCES: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

fn instances<R>(f: impl FnOnce(&mut BTreeMap<usize, usize>) -> R) -> R {
    f(&mut INSTANCES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Offsets in configuration space of control registers, which a reset clears.
#[derive(Clone, Copy, Default)]
struct Controls {
    pasid: Option<u32>,
    ats: Option<u32>,
    pri: Option<u32>,
}

/// What stands behind an object.
pub(crate) struct Instance<D: Device> {
    qemu: &'static Qemu,
    object: *mut Object,
    config: RefCell<D::Config>,
    host: RefCell<Option<Rc<Host>>>,
    device: RefCell<Option<D>>,
    /// A reset came while the device was busy.
    reset_is_due: Cell<bool>,
    controls: Cell<Controls>,
    blocker: Cell<*mut QemuError>,
    /// Until the object ends, because accesses may be under way when it is unplugged.
    regions: RefCell<Vec<Box<Region<D>>>>,
}

impl<D: Device> Instance<D> {
    /// The instance of an object.
    ///
    /// # Safety
    ///
    /// `object` is of `D`'s type and lives as long as the result is used.
    pub(crate) unsafe fn of<'a>(object: *mut Object) -> Option<&'a Self> {
        let address = instances(|all| all.get(&(object as usize)).copied())?;
        // SAFETY: init() put it there, and finalize() takes it out.
        Some(unsafe { &*(address as *const Self) })
    }

    pub(crate) fn qemu(&self) -> &'static Qemu {
        self.qemu
    }

    pub(crate) fn config(&self) -> &RefCell<D::Config> {
        &self.config
    }

    pub(crate) fn is_realized(&self) -> bool {
        self.host.borrow().is_some()
    }

    /// Lets the device work. `None` if there is none, or if it is at work already: then this is an
    /// access that its own DMA causes.
    pub(crate) fn enter<R>(&self, f: impl FnOnce(&mut D, &Host) -> R) -> Option<R> {
        let host = self.host.borrow().clone()?;
        let mut slot = self.device.try_borrow_mut().ok()?;
        let device = slot.as_mut()?;
        let work = AssertUnwindSafe(|| {
            let result = f(device, &host);
            if self.reset_is_due.take() {
                device.reset(&host);
            }
            result
        });
        // Unwinding into QEMU would end it.
        let result = catch_unwind(work);
        if result.is_err() {
            let name = D::NAME.to_string_lossy();
            let text = format!("{name}: failed because of an error of its own; it answers no more");
            self.qemu.report(&text);
            host.stop();
        }
        if result.is_err() || !self.is_realized() {
            *slot = None;
        }
        result.ok()
    }

    fn realize(&self) -> Result<(), RealizeError> {
        let made = catch_unwind(AssertUnwindSafe(|| D::new(&self.config.borrow())));
        let (device, function) = made.map_err(|_| Error::new("the device could not be made"))??;
        self.check_bus()?;
        self.add_capabilities(&function)?;
        self.block_migration()?;
        self.add_bars(&function)
            .inspect_err(|_| self.allow_migration())?;
        let opaque = std::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the instance lives as long as its object, and unrealize() stops the host before.
        let host = unsafe {
            let pasid_control = self.controls.get().pasid;
            Host::new(self.qemu, self.object, pasid_control, run::<D>, opaque)
        };
        self.device.replace(Some(device));
        self.host.replace(Some(Rc::new(host)));
        Ok(())
    }

    fn check_bus(&self) -> Result<(), Error> {
        let symbols = &self.qemu.symbols;
        // SAFETY: the object is a PCI device on a bus.
        let is_express = unsafe {
            let bus = (symbols.qdev_get_parent_bus)(self.object);
            (symbols.pci_bus_is_express)(bus)
        };
        if is_express {
            Ok(())
        } else {
            Err(Error::new("this device takes a PCI Express bus"))
        }
    }

    /// The capabilities in extended configuration space stand one behind the other from 0x100 on.
    fn add_capabilities(&self, function: &Function) -> Result<(), Error> {
        let symbols = &self.qemu.symbols;
        let lacks = |what| Error::new(format!("this QEMU cannot give a device {what}"));
        let mut at: u16 = 0x100;
        let mut controls = Controls::default();
        // SAFETY: the object is being realized; no capability overlaps another.
        unsafe {
            if (symbols.pcie_endpoint_cap_init)(self.object, 0) < 0 {
                return Err(Error::new("no room for the PCI Express capability"));
            }
            if let Some(init) = symbols.pcie_cap_flr_init {
                init(self.object);
            }
            if function.pasid_bits != 0 {
                let init = symbols
                    .pcie_pasid_init
                    .ok_or_else(|| lacks("a PASID capability"))?;
                init(self.object, at, function.pasid_bits, false, false);
                controls.pasid = Some(u32::from(at) + 6);
                at += 8;
            }
            if function.ats {
                let init = symbols
                    .pcie_ats_init
                    .ok_or_else(|| lacks("an ATS capability"))?;
                init(self.object, at, true);
                controls.ats = Some(u32::from(at) + 6);
                at += 8;
            }
            if let Some(requests) = function.pri {
                let init = symbols
                    .pcie_pri_init
                    .ok_or_else(|| lacks("a PRI capability"))?;
                init(self.object, at, requests, true);
                controls.pri = Some(u32::from(at) + 4);
            }
        }
        self.controls.set(controls);
        Ok(())
    }

    fn add_bars(&self, function: &Function) -> Result<(), RealizeError> {
        let mut regions = self.regions.borrow_mut();
        for bar in &function.bars {
            // SAFETY: the object is being realized; the regions go with the instance.
            regions.push(unsafe { Region::new(self.qemu, self.object, self, bar) });
        }
        let symbols = &self.qemu.symbols;
        if let Some(msix) = function.msix {
            let mut error = std::ptr::null_mut();
            // SAFETY: as above.
            unsafe {
                let init = symbols.msix_init_exclusive_bar;
                if init(self.object, msix.vectors, msix.bar, &mut error) < 0 {
                    return Err(RealizeError::Qemu(error));
                }
                for vector in 0..msix.vectors {
                    (symbols.msix_vector_use)(self.object, vector);
                }
            }
        }
        Ok(())
    }

    /// Nothing here knows how to write the state of a device down.
    fn block_migration(&self) -> Result<(), RealizeError> {
        let symbols = &self.qemu.symbols;
        let Some(add) = symbols.migrate_add_blocker else {
            return Ok(());
        };
        let name = D::NAME.to_string_lossy();
        let reason = Error::new(format!("device {name} cannot be migrated"));
        let mut error = std::ptr::null_mut();
        // SAFETY: QEMU takes the reason over, and clears the pointer if it refuses.
        unsafe {
            symbols.set_error(self.blocker.as_ptr(), &reason);
            if add(self.blocker.as_ptr(), &mut error) < 0 {
                return Err(RealizeError::Qemu(error));
            }
        }
        Ok(())
    }

    fn allow_migration(&self) {
        if let Some(delete) = self.qemu.symbols.migrate_del_blocker {
            // SAFETY: what block_migration() added, or null.
            unsafe { delete(self.blocker.as_ptr()) };
        }
    }

    fn unrealize(&self) {
        if let Some(host) = self.host.take() {
            host.stop();
            // SAFETY: realize() has been successful.
            unsafe { (self.qemu.symbols.msix_uninit_exclusive_bar)(self.object) };
            self.allow_migration();
        }
        // Otherwise enter() drops the device when it is done.
        if let Ok(mut device) = self.device.try_borrow_mut() {
            *device = None;
        }
    }

    fn reset(&self) {
        let Controls { pasid, ats, pri } = self.controls.get();
        for control in [pasid, ats, pri].into_iter().flatten() {
            // SAFETY: the object is a PCI device with a register there.
            unsafe { (self.qemu.symbols.pci_default_write_config)(self.object, control, 0, 2) };
        }
        if self.device.try_borrow_mut().is_err() {
            self.reset_is_due.set(true);
        } else {
            self.enter(|device, host| device.reset(host));
        }
    }
}

/// Why a device is not realized.
enum RealizeError {
    /// Because we say so.
    Ours(Error),
    /// Because QEMU says so.
    Qemu(*mut QemuError),
}

impl From<Error> for RealizeError {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

/// `instance_init` of a type.
///
/// # Safety
///
/// QEMU calls it with a new object of `D`'s type.
pub(crate) unsafe extern "C" fn init<D: Device>(object: *mut Object) {
    let Some(qemu) = Qemu::found() else {
        return;
    };
    let instance = Box::new(Instance::<D> {
        qemu,
        object,
        config: RefCell::default(),
        host: RefCell::default(),
        device: RefCell::default(),
        reset_is_due: Cell::new(false),
        controls: Cell::default(),
        blocker: Cell::new(std::ptr::null_mut()),
        regions: RefCell::default(),
    });
    instances(|all| all.insert(object as usize, Box::into_raw(instance) as usize));
}

/// `instance_finalize` of a type. Regions, which are children of the object, are gone by now.
///
/// # Safety
///
/// QEMU calls it with the last reference to an object of `D`'s type.
pub(crate) unsafe extern "C" fn finalize<D: Device>(object: *mut Object) {
    if let Some(address) = instances(|all| all.remove(&(object as usize))) {
        // SAFETY: init() made it, and nobody can find it any more.
        drop(unsafe { Box::from_raw(address as *mut Instance<D>) });
    }
}

/// `PCIDeviceClass.realize`.
///
/// # Safety
///
/// QEMU calls it with an object of `D`'s type and a place for an error.
pub(crate) unsafe extern "C" fn realize<D: Device>(object: *mut Object, errp: Errp) {
    // SAFETY: as QEMU does.
    let Some(instance) = (unsafe { Instance::<D>::of(object) }) else {
        return;
    };
    match instance.realize() {
        Ok(()) => {}
        // SAFETY: errp is QEMU's; an error is passed on once.
        Err(RealizeError::Ours(error)) => unsafe { instance.qemu.symbols.set_error(errp, &error) },
        // SAFETY: as above.
        Err(RealizeError::Qemu(error)) => unsafe {
            (instance.qemu.symbols.error_propagate)(errp, error);
        },
    }
}

/// `PCIDeviceClass.exit`.
///
/// # Safety
///
/// QEMU calls it with an object of `D`'s type.
pub(crate) unsafe extern "C" fn exit<D: Device>(object: *mut Object) {
    // SAFETY: as QEMU does.
    if let Some(instance) = unsafe { Instance::<D>::of(object) } {
        instance.unrealize();
    }
}

/// `DeviceClass.legacy_reset`.
///
/// # Safety
///
/// QEMU calls it with an object of `D`'s type.
pub(crate) unsafe extern "C" fn reset<D: Device>(object: *mut Object) {
    // SAFETY: as QEMU does.
    if let Some(instance) = unsafe { Instance::<D>::of(object) } {
        instance.reset();
    }
}

/// `PCIDeviceClass.config_write`: with function level reset.
///
/// # Safety
///
/// QEMU calls it with an object of `D`'s type.
pub(crate) unsafe extern "C" fn write_config<D: Device>(
    object: *mut Object,
    at: u32,
    value: u32,
    length: c_int,
) {
    // SAFETY: as QEMU does.
    unsafe {
        if let Some(instance) = Instance::<D>::of(object) {
            let symbols = &instance.qemu.symbols;
            (symbols.pci_default_write_config)(object, at, value, length);
            if let Some(write) = symbols.pcie_cap_flr_write_config {
                write(object, at, value, length);
            }
        }
    }
}

/// The bottom half and the timer of a device.
unsafe extern "C" fn run<D: Device>(opaque: *mut c_void) {
    // SAFETY: realize() gave the instance. Its object is kept for as long as the device works, because
    // its DMA can unplug it.
    unsafe {
        let instance = &*opaque.cast::<Instance<D>>();
        let (qemu, object) = (instance.qemu, instance.object);
        (qemu.symbols.object_ref)(object);
        instance.enter(|device, host| device.run(host));
        (qemu.symbols.object_unref)(object);
    }
}

// SPDX-License-Identifier: GPL-2.0

//! One device: what stands behind an object of QEMU, from its initialization to its end.
//!
//! The object itself has no room for us, because the size of what it inherits is not known; the
//! instance is found by the object's address.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::{Rc, Weak};

use crate::call::Call;
use crate::device::{Device, Function};
use crate::error::Error;
use crate::ffi::{Errp, Object, PciDevice, QemuError};
use crate::host::Host;
use crate::migration::Blocker;
use crate::object_ref::ObjectRef;
use crate::qemu::Qemu;
use crate::region::Region;

/// Instances by the addresses of their objects.
struct Instances(RefCell<BTreeMap<usize, Rc<dyn Any>>>);

// SAFETY: used by whoever has an object, and therefore the big lock, and so is what is in it:
// with() passes it on for the time of a call, and regions, which have it too, are called by QEMU.
unsafe impl Sync for Instances {}

static INSTANCES: Instances = Instances(RefCell::new(BTreeMap::new()));

impl Instances {
    fn of(&self, object: &Object) -> Option<Rc<dyn Any>> {
        self.0.borrow().get(&object.address()).cloned()
    }

    fn replace(&self, object: &Object, instance: Option<Rc<dyn Any>>) -> Option<Rc<dyn Any>> {
        let mut all = self.0.borrow_mut();
        match instance {
            Some(instance) => all.insert(object.address(), instance),
            None => all.remove(&object.address()),
        }
    }
}

/// Offsets in configuration space of control registers, which a reset clears.
#[derive(Clone, Copy, Default)]
struct Controls {
    pasid: Option<u16>,
    ats: Option<u16>,
    pri: Option<u16>,
}

/// What stands behind an object.
pub(crate) struct Instance<D: Device> {
    qemu: &'static Qemu,
    this: Weak<Self>,
    config: RefCell<D::Config>,
    host: RefCell<Option<Rc<Host>>>,
    device: RefCell<Option<D>>,
    /// A reset came while the device was busy.
    reset_is_due: Cell<bool>,
    controls: Cell<Controls>,
    blocker: Blocker,
    /// Until the object ends, because accesses may be under way when it is unplugged.
    regions: RefCell<Vec<Rc<Region<D>>>>,
}

impl<D: Device> Instance<D> {
    /// Calls `f` with the instance of an object. `None` if it has none, or is of another type.
    pub(crate) fn with<R>(object: &Object, f: impl FnOnce(&Self) -> R) -> Option<R> {
        let instance = INSTANCES.of(object)?.downcast::<Self>().ok()?;
        Some(f(&instance))
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

    /// `None`: an error is at `errp` already.
    fn realize(&self, device: &PciDevice, errp: Errp<'_>) -> Result<(), Option<Error>> {
        let made = catch_unwind(AssertUnwindSafe(|| D::new(&self.config.borrow())));
        let made = made.unwrap_or_else(|_| Err(Error::new("the device could not be made")));
        let (state, function) = made.map_err(Some)?;
        self.check_bus(device).map_err(Some)?;
        self.add_capabilities(device, &function).map_err(Some)?;
        let name = D::NAME.to_string_lossy();
        let reason = Error::new(format!("device {name} cannot be migrated"));
        let symbols = &self.qemu.symbols;
        if !self.blocker.add(symbols, &reason, errp) {
            return Err(None);
        }
        if !self.add_bars(device, &function, errp) {
            self.blocker.remove(symbols);
            return Err(None);
        }
        // SAFETY: whoever has the instance has the big lock. It gives the host to the device for
        // the time of a call, and unrealize() stops the host before the object is no device any
        // more.
        let kept = unsafe { ObjectRef::new(self.qemu, device) };
        let pasid_control = self.controls.get().pasid;
        // SAFETY: the object is of the type that the function is for, until the host is stopped.
        let host = unsafe { Host::new(self.qemu, kept, pasid_control, run_callback::<D>) };
        self.device.replace(Some(state));
        self.host.replace(Some(Rc::new(host)));
        Ok(())
    }

    fn check_bus(&self, device: &PciDevice) -> Result<(), Error> {
        let symbols = &self.qemu.symbols;
        if symbols.is_express(symbols.bus(device)) {
            Ok(())
        } else {
            Err(Error::new("this device takes a PCI Express bus"))
        }
    }

    /// The capabilities in extended configuration space stand one behind the other from 0x100 on.
    fn add_capabilities(&self, device: &PciDevice, function: &Function) -> Result<(), Error> {
        let symbols = &self.qemu.symbols;
        let lacks = |what| Error::new(format!("this QEMU cannot give a device {what}"));
        let mut at: u16 = 0x100;
        let mut controls = Controls::default();
        // SAFETY: the device is being realized, and has no such capability yet. 0: where there is
        // room.
        if unsafe { (symbols.pcie_endpoint_cap_init)(device.as_ptr(), 0) } < 0 {
            return Err(Error::new("no room for the PCI Express capability"));
        }
        if let Some(init) = symbols.pcie_cap_flr_init {
            // SAFETY: the device has the PCI Express capability now.
            unsafe { init(device.as_ptr()) };
        }
        if function.pasid_bits != 0 {
            let init = symbols
                .pcie_pasid_init
                .ok_or_else(|| lacks("a PASID capability"))?;
            // SAFETY: the device is being realized, and nothing is at this offset of its
            // configuration space.
            unsafe { init(device.as_ptr(), at, function.pasid_bits, false, false) };
            controls.pasid = Some(at + 6);
            at += 8;
        }
        if function.ats {
            let init = symbols
                .pcie_ats_init
                .ok_or_else(|| lacks("an ATS capability"))?;
            // SAFETY: the device is being realized, and nothing is at this offset of its
            // configuration space.
            unsafe { init(device.as_ptr(), at, true) };
            controls.ats = Some(at + 6);
            at += 8;
        }
        if let Some(requests) = function.pri {
            let init = symbols
                .pcie_pri_init
                .ok_or_else(|| lacks("a PRI capability"))?;
            // SAFETY: the device is being realized, and nothing is at this offset of its
            // configuration space.
            unsafe { init(device.as_ptr(), at, requests, true) };
            controls.pri = Some(at + 4);
        }
        self.controls.set(controls);
        Ok(())
    }

    /// False: an error is at `errp`.
    fn add_bars(&self, device: &PciDevice, function: &Function, errp: Errp<'_>) -> bool {
        let symbols = &self.qemu.symbols;
        let mut regions = self.regions.borrow_mut();
        for bar in &function.bars {
            let this = self.this.clone();
            // SAFETY: the object is being realized, and the function has each BAR once. The region
            // goes with the instance.
            regions.push(unsafe { Region::new(self.qemu, device, this, bar) });
        }
        let Some(msix) = function.msix else {
            return true;
        };
        let (init, errp) = (symbols.msix_init_exclusive_bar, errp.as_ptr());
        // SAFETY: the object is being realized, and has no such BAR yet; `errp` is null, or a place
        // for an error.
        let done = unsafe { init(device.as_ptr(), msix.vectors, msix.bar, errp) } >= 0;
        for vector in (0..msix.vectors).filter(|_| done) {
            // SAFETY: the device has this vector now.
            unsafe { (symbols.msix_vector_use)(device.as_ptr(), vector) };
        }
        done
    }

    fn unrealize(&self, device: &PciDevice) {
        if let Some(host) = self.host.take() {
            host.stop();
            // SAFETY: a PCI device that is being unrealized; nothing happens without MSI-X.
            unsafe { (self.qemu.symbols.msix_uninit_exclusive_bar)(device.as_ptr()) };
            self.blocker.remove(&self.qemu.symbols);
        }
        // Otherwise enter() drops the device when it is done.
        if let Ok(mut device) = self.device.try_borrow_mut() {
            *device = None;
        }
    }

    fn reset(&self) {
        let host = self.host.borrow().clone();
        let Some(device) = host.as_ref().and_then(|host| host.device()) else {
            return;
        };
        let Controls { pasid, ats, pri } = self.controls.get();
        for control in [pasid, ats, pri].into_iter().flatten() {
            let symbols = &self.qemu.symbols;
            symbols.write_config(device, control.into(), 0, 2, false);
        }
        if self.device.try_borrow_mut().is_err() {
            self.reset_is_due.set(true);
        } else {
            self.enter(|device, host| device.reset(host));
        }
    }
}

fn init<D: Device>(object: &Object) {
    let Some(qemu) = Qemu::found() else {
        return;
    };
    let instance = Rc::new_cyclic(|this| Instance::<D> {
        qemu,
        this: this.clone(),
        config: RefCell::default(),
        host: RefCell::default(),
        device: RefCell::default(),
        reset_is_due: Cell::new(false),
        controls: Cell::default(),
        blocker: Blocker::none(),
        regions: RefCell::default(),
    });
    INSTANCES.replace(object, Some(instance));
}

/// Regions, which are children of the object, are gone by now.
fn finalize(object: &Object) {
    INSTANCES.replace(object, None);
}

fn realize<D: Device>(device: &PciDevice, errp: Errp<'_>) {
    Instance::<D>::with(device.as_ref(), |instance| {
        if let Err(Some(error)) = instance.realize(device, errp) {
            instance.qemu.symbols.set_error(errp, &error);
        }
    });
}

fn exit<D: Device>(device: &PciDevice) {
    Instance::<D>::with(device.as_ref(), |instance| instance.unrealize(device));
}

fn reset<D: Device>(object: &Object) {
    Instance::<D>::with(object, Instance::reset);
}

/// With function level reset.
fn write_config(device: &PciDevice, at: u32, value: u32, length: c_int) {
    if let Some(qemu) = Qemu::found() {
        qemu.symbols.write_config(device, at, value, length, true);
    }
}

/// The bottom half and the timer of a device. Its DMA can unplug it; the host, which enter() keeps,
/// keeps the object.
fn run<D: Device>(object: &Object) {
    Instance::<D>::with(object, |instance| {
        instance.enter(|device, host| device.run(host))
    });
}

/// `TypeInfo.instance_init`.
///
/// # Safety
///
/// For a type below pci-device.
pub(crate) unsafe extern "C" fn init_callback<D: Device>(object: *mut Object) {
    let call = Call::new();
    // SAFETY: an object of that type, which is being made.
    init::<D>(unsafe { call.lend(object) });
}

/// `TypeInfo.instance_finalize`.
///
/// # Safety
///
/// For a type whose `instance_init` is [`init_callback`].
pub(crate) unsafe extern "C" fn finalize_callback(object: *mut Object) {
    let call = Call::new();
    // SAFETY: an object of that type, at its end.
    finalize(unsafe { call.lend(object) });
}

/// `PCIDeviceClass.realize`.
///
/// # Safety
///
/// For a type whose `instance_init` is [`init_callback`].
pub(crate) unsafe extern "C" fn realize_callback<D: Device>(
    device: *mut PciDevice,
    errp: *mut *mut QemuError,
) {
    let call = Call::new();
    // SAFETY: a device of that type, which is on its bus and has a configuration space by now.
    let device = unsafe { call.lend(device) };
    // SAFETY: where an error goes.
    let errp = unsafe { call.lend_errp(errp) };
    realize::<D>(device, errp);
}

/// `PCIDeviceClass.exit`.
///
/// # Safety
///
/// For a type whose `instance_init` is [`init_callback`].
pub(crate) unsafe extern "C" fn exit_callback<D: Device>(device: *mut PciDevice) {
    let call = Call::new();
    // SAFETY: a device of that type, which is realized.
    exit::<D>(unsafe { call.lend(device) });
}

/// `DeviceClass.legacy_reset`.
///
/// # Safety
///
/// For a type whose `instance_init` is [`init_callback`].
pub(crate) unsafe extern "C" fn reset_callback<D: Device>(object: *mut Object) {
    let call = Call::new();
    // SAFETY: a device of that type.
    reset::<D>(unsafe { call.lend(object) });
}

/// `PCIDeviceClass.config_write`.
///
/// # Safety
///
/// For any class.
pub(crate) unsafe extern "C" fn write_config_callback(
    device: *mut PciDevice,
    at: u32,
    value: u32,
    length: c_int,
) {
    let call = Call::new();
    // SAFETY: a device that is realized.
    write_config(unsafe { call.lend(device) }, at, value, length);
}

/// `QEMUBHFunc` and `QEMUTimerCB`.
///
/// # Safety
///
/// For bottom halves and timers whose opaque pointer is that of an object of a type whose
/// `instance_init` is [`init_callback`], and which end before it.
unsafe extern "C" fn run_callback<D: Device>(object: *mut c_void) {
    let call = Call::new();
    // SAFETY: such an object.
    run::<D>(unsafe { call.lend_opaque(object) });
}

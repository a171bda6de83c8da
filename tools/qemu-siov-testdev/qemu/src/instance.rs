// SPDX-License-Identifier: GPL-2.0

//! One device: what stands behind an object of QEMU, from its initialization to its end.
//!
//! The object itself has no room for us, because the size of what it inherits is not known; the
//! instance is found by the object's address.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::{Rc, Weak};

use crate::device::{Device, Function};
use crate::error::Error;
use crate::ffi::{Errp, Object, PciDevice};
use crate::host::Host;
use crate::migration::Blocker;
use crate::object_ref::ObjectRef;
use crate::qemu::Qemu;
use crate::region::Region;

/// Instances by the addresses of their objects.
struct Instances(RefCell<BTreeMap<usize, Rc<dyn Any>>>);

// SAFETY: used by whoever has an object, and therefore the big lock, and so is what is in it: with() passes
// it on for the time of a call, and regions, which have it too, are called by QEMU.
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
        // SAFETY: whoever has the instance has the big lock. It gives the host to the device for the time
        // of a call, and unrealize() stops the host before the object is no device any more.
        let kept = unsafe { ObjectRef::new(self.qemu, device) };
        let host = Host::new(self.qemu, kept, self.controls.get().pasid, run::<D>);
        self.device.replace(Some(state));
        self.host.replace(Some(Rc::new(host)));
        Ok(())
    }

    fn check_bus(&self, device: &PciDevice) -> Result<(), Error> {
        let symbols = &self.qemu.symbols;
        if (symbols.pci_bus_is_express)((symbols.qdev_get_parent_bus)(device)) {
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
        if (symbols.pcie_endpoint_cap_init)(device, 0) < 0 {
            return Err(Error::new("no room for the PCI Express capability"));
        }
        if let Some(init) = symbols.pcie_cap_flr_init {
            init(device);
        }
        if function.pasid_bits != 0 {
            let init = symbols
                .pcie_pasid_init
                .ok_or_else(|| lacks("a PASID capability"))?;
            init(device, at, function.pasid_bits, false, false);
            controls.pasid = Some(at + 6);
            at += 8;
        }
        if function.ats {
            let init = symbols
                .pcie_ats_init
                .ok_or_else(|| lacks("an ATS capability"))?;
            init(device, at, true);
            controls.ats = Some(at + 6);
            at += 8;
        }
        if let Some(requests) = function.pri {
            let init = symbols
                .pcie_pri_init
                .ok_or_else(|| lacks("a PRI capability"))?;
            init(device, at, requests, true);
            controls.pri = Some(at + 4);
        }
        self.controls.set(controls);
        Ok(())
    }

    /// False: an error is at `errp`.
    fn add_bars(&self, device: &PciDevice, function: &Function, errp: Errp<'_>) -> bool {
        let symbols = &self.qemu.symbols;
        let mut regions = self.regions.borrow_mut();
        // SAFETY: the object is being realized, and the function has each BAR once. The regions go with
        // the instance, and so does the table of the vectors.
        unsafe {
            for bar in &function.bars {
                regions.push(Region::new(self.qemu, device, self.this.clone(), bar));
            }
            let Some(msix) = function.msix else {
                return true;
            };
            let done = (symbols.msix_init_exclusive_bar)(device, msix.vectors, msix.bar, errp) >= 0;
            for vector in (0..msix.vectors).filter(|_| done) {
                (symbols.msix_vector_use)(device, vector);
            }
            done
        }
    }

    fn unrealize(&self, device: &PciDevice) {
        if let Some(host) = self.host.take() {
            host.stop();
            (self.qemu.symbols.msix_uninit_exclusive_bar)(device);
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

/// `instance_init` of a type.
pub(crate) extern "C" fn init<D: Device>(object: &Object) {
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

/// `instance_finalize` of a type. Regions, which are children of the object, are gone by now.
pub(crate) extern "C" fn finalize(object: &Object) {
    INSTANCES.replace(object, None);
}

/// `PCIDeviceClass.realize`.
pub(crate) extern "C" fn realize<D: Device>(device: &PciDevice, errp: Errp<'_>) {
    Instance::<D>::with(device.as_ref(), |instance| {
        if let Err(Some(error)) = instance.realize(device, errp) {
            instance.qemu.symbols.set_error(errp, &error);
        }
    });
}

/// `PCIDeviceClass.exit`.
pub(crate) extern "C" fn exit<D: Device>(device: &PciDevice) {
    Instance::<D>::with(device.as_ref(), |instance| instance.unrealize(device));
}

/// `DeviceClass.legacy_reset`.
pub(crate) extern "C" fn reset<D: Device>(object: &Object) {
    Instance::<D>::with(object, Instance::reset);
}

/// `PCIDeviceClass.config_write`: with function level reset.
pub(crate) extern "C" fn write_config(device: &PciDevice, at: u32, value: u32, length: c_int) {
    if let Some(qemu) = Qemu::found() {
        qemu.symbols.write_config(device, at, value, length, true);
    }
}

/// The bottom half and the timer of a device. Its DMA can unplug it; the host, which enter() keeps, keeps
/// the object.
extern "C" fn run<D: Device>(object: &Object) {
    Instance::<D>::with(object, |instance| {
        instance.enter(|device, host| device.run(host))
    });
}

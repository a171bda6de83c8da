// SPDX-License-Identifier: GPL-2.0

//! How a device reaches the machine around it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use siov_types::{Iova, Pasid, PhysAddr};

use crate::ats::{Ats, Invalidation, Translation};
use crate::dma::{DmaError, Spaces};
use crate::ffi::{OpaqueFunction, PciDevice};
use crate::object_ref::ObjectRef;
use crate::qemu::Qemu;
use crate::waker::{now, Waker};

/// What is enabled in configuration space.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Enabled {
    /// Bus mastering.
    pub bus_master: bool,
    /// PASID.
    pub pasid: bool,
    /// ATS, with an IOMMU that takes part.
    pub ats: bool,
    /// PRI.
    pub pri: bool,
}

/// The machine around a device. After the device is unplugged every request fails and nothing is
/// raised or called any more.
pub struct Host {
    qemu: &'static Qemu,
    device: Rc<ObjectRef<PciDevice>>,
    spaces: Spaces,
    gone: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    ats: RefCell<Option<Ats>>,
}

/// Offset of the command register in configuration space.
const COMMAND: u16 = 4;
/// Bus master enable.
const COMMAND_MASTER: u32 = 1 << 2;

impl Host {
    /// `run` is called with the device when it is time. `pasid_control` is the offset of that
    /// register in configuration space.
    ///
    /// # Safety
    ///
    /// `run` may be called so until the result is [stopped](Self::stop) or dropped.
    pub(crate) unsafe fn new(
        qemu: &'static Qemu,
        device: ObjectRef<PciDevice>,
        pasid_control: Option<u16>,
        run: OpaqueFunction,
    ) -> Self {
        let device = Rc::new(device);
        // SAFETY: as required of the caller.
        let waker = unsafe { Waker::new(qemu, device.clone(), run) };
        Self {
            qemu,
            spaces: Spaces::new(qemu, device.clone()),
            gone: Cell::new(false),
            waker: RefCell::new(Some(waker)),
            ats: RefCell::new(Some(Ats::new(qemu, device.clone(), pasid_control))),
            device,
        }
    }

    /// The device; `None` after it is unplugged.
    pub(crate) fn device(&self) -> Option<&PciDevice> {
        (!self.gone.get()).then_some(&self.device)
    }

    /// Ends all that the device has going.
    pub(crate) fn stop(&self) {
        self.gone.set(true);
        self.waker.take();
        self.ats.take();
    }

    /// Reads memory: a request with `pasid`, or without one.
    ///
    /// # Errors
    ///
    /// Why it failed; `into` is then undefined.
    pub fn read(&self, pasid: Option<Pasid>, from: Iova, into: &mut [u8]) -> Result<(), DmaError> {
        self.may_request(pasid)?;
        self.spaces.read(pasid, from, into)
    }

    /// Writes memory: a request with `pasid`, or without one.
    ///
    /// # Errors
    ///
    /// Why it failed. Of a write across pages, pages before the one that is blocked have been
    /// written.
    pub fn write(&self, pasid: Option<Pasid>, to: Iova, data: &[u8]) -> Result<(), DmaError> {
        self.may_request(pasid)?;
        self.spaces.write(pasid, to, data)
    }

    /// Asks the IOMMU for a translation to keep. What
    /// [`take_invalidation`](Self::take_invalidation) returns takes it back.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn translate(
        &self,
        pasid: Option<Pasid>,
        address: Iova,
        write: bool,
    ) -> Result<Translation, DmaError> {
        self.may_request(pasid)?;
        match &*self.ats.borrow() {
            Some(ats) => ats.translate(pasid, address, write),
            None => Err(DmaError::BusMasterOff),
        }
    }

    /// The next invalidation that the IOMMU has sent.
    pub fn take_invalidation(&self) -> Option<Invalidation> {
        self.ats.borrow().as_ref()?.take_invalidation()
    }

    /// Reads memory at a translated address.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn read_translated(&self, from: PhysAddr, into: &mut [u8]) -> Result<(), DmaError> {
        self.may_request(None)?;
        self.spaces.read_translated(from, into)
    }

    /// Writes memory at a translated address.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub fn write_translated(&self, to: PhysAddr, data: &[u8]) -> Result<(), DmaError> {
        self.may_request(None)?;
        self.spaces.write_translated(to, data)
    }

    /// Raises an MSI-X vector of those that the function has.
    pub fn interrupt(&self, vector: u32) {
        if let Some(device) = self.device() {
            self.qemu.symbols.raise(device, vector);
        }
    }

    /// Guest time in nanoseconds.
    pub fn now(&self) -> u64 {
        now(self.qemu)
    }

    /// Calls [`Device::run`](crate::Device::run) at this guest time, or as soon as possible when it
    /// has passed; replaces what was asked for earlier. `None`: not at all.
    pub fn wake(&self, at: Option<u64>) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.set(at);
        }
    }

    /// What is enabled in configuration space.
    pub fn enabled(&self) -> Enabled {
        let Some(device) = self.device() else {
            return Enabled::default();
        };
        let symbols = &self.qemu.symbols;
        let command = symbols.read_config(device, COMMAND);
        Enabled {
            bus_master: command & COMMAND_MASTER != 0,
            pasid: symbols.is_pasid_enabled(device),
            ats: self.ats.borrow().as_ref().is_some_and(Ats::is_enabled),
            pri: symbols.is_pri_enabled(device),
        }
    }

    fn may_request(&self, pasid: Option<Pasid>) -> Result<(), DmaError> {
        let enabled = self.enabled();
        if !enabled.bus_master {
            Err(DmaError::BusMasterOff)
        } else if pasid.is_some() && !enabled.pasid {
            Err(DmaError::PasidOff)
        } else {
            Ok(())
        }
    }
}

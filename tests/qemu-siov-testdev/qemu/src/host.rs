// SPDX-License-Identifier: GPL-2.0

//! How a device reaches the machine around it.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;

use siov_types::{Iova, Pasid, PhysAddr};

use crate::ats::{Ats, Invalidation, Translation};
use crate::dma::{DmaError, Spaces};
use crate::ffi::Object;
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
    object: *mut Object,
    spaces: Spaces,
    gone: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    ats: RefCell<Option<Ats>>,
}

/// Offset of the command register in configuration space.
const COMMAND: u32 = 4;
/// Bus master enable.
const COMMAND_MASTER: u32 = 1 << 2;

impl Host {
    /// `run` is called with `opaque` when it is time. `pasid_control` is the offset of that register in
    /// configuration space.
    ///
    /// # Safety
    ///
    /// `object` is a PCI device that is being realized and outlives the result; the call of `run` is
    /// sound until [`stop`](Self::stop).
    pub(crate) unsafe fn new(
        qemu: &'static Qemu,
        object: *mut Object,
        pasid_control: Option<u32>,
        run: unsafe extern "C" fn(*mut c_void),
        opaque: *mut c_void,
    ) -> Self {
        // SAFETY: as the caller promises; stop() drops the waker.
        let waker = unsafe { Waker::new(qemu, run, opaque) };
        Self {
            qemu,
            object,
            spaces: Spaces::new(qemu, object),
            gone: Cell::new(false),
            waker: RefCell::new(Some(waker)),
            ats: RefCell::new(Some(Ats::new(qemu, object, pasid_control))),
        }
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
    /// Why it failed. Of a write across pages, pages before the one that is blocked have been written.
    pub fn write(&self, pasid: Option<Pasid>, to: Iova, data: &[u8]) -> Result<(), DmaError> {
        self.may_request(pasid)?;
        self.spaces.write(pasid, to, data)
    }

    /// Asks the IOMMU for a translation to keep. What [`take_invalidation`](Self::take_invalidation)
    /// returns takes it back.
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
        if !self.gone.get() {
            // SAFETY: the object is a PCI device. QEMU ignores vectors that are not in use.
            unsafe { (self.qemu.symbols.msix_notify)(self.object, vector) };
        }
    }

    /// Guest time in nanoseconds.
    pub fn now(&self) -> u64 {
        now(self.qemu)
    }

    /// Calls [`Device::run`](crate::Device::run) at this guest time, or as soon as possible when it has
    /// passed; replaces what was asked for earlier. `None`: not at all.
    pub fn wake(&self, at: Option<u64>) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.set(at);
        }
    }

    /// What is enabled in configuration space.
    pub fn enabled(&self) -> Enabled {
        if self.gone.get() {
            return Enabled::default();
        }
        let symbols = &self.qemu.symbols;
        let ask = |function: Option<unsafe extern "C" fn(*mut Object) -> bool>| {
            // SAFETY: the object is a PCI device.
            function.is_some_and(|function| unsafe { function(self.object) })
        };
        // SAFETY: as above.
        let command = unsafe { (symbols.pci_default_read_config)(self.object, COMMAND, 2) };
        Enabled {
            bus_master: command & COMMAND_MASTER != 0,
            pasid: ask(symbols.pcie_pasid_enabled),
            ats: self.ats.borrow().as_ref().is_some_and(Ats::is_enabled),
            pri: ask(symbols.pcie_pri_enabled),
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

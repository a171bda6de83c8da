// SPDX-License-Identifier: GPL-2.0

//! An ADI in the hands of its user: a mediated device of the driver siov_testdev, opened by VFIO.

use crate::ktap::Result;
use crate::mdev::Mdev;
use crate::mmio::Mapping;
use crate::poll;
use crate::vfio::{Container, Device};
use anyhow::ensure;
use nix::sys::eventfd::EfdFlags;
pub use nix::sys::eventfd::EventFd;
use siov_testdev_regs::fault_region::{self, Record};
use siov_testdev_regs::user::{offset, Status};
use siov_testdev_regs::{Completion, CompletionStatus, Descriptor};
use vfio_bindings::bindings::vfio as uapi;

/// MSI-X vector of faults.
pub const VECTOR_FAULT: u32 = 0;
/// MSI-X vector of completions.
pub const VECTOR_COMPLETION: u32 = 1;

/// An open ADI, allowed to work.
#[derive(Debug)]
pub struct UserAdi {
    /// The VFIO device.
    pub device: Device,
    page: Mapping,
}

/// An eventfd that does not block.
///
/// # Errors
///
/// Those of eventfd(2).
pub fn eventfd() -> Result<EventFd> {
    Ok(EventFd::from_flags(EfdFlags::EFD_NONBLOCK)?)
}

/// How often an eventfd was signalled since it was last asked.
///
/// # Errors
///
/// Those of read(2).
pub fn signals(eventfd: &EventFd) -> Result<u64> {
    match eventfd.read() {
        Ok(count) => Ok(count),
        Err(nix::Error::EAGAIN) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

impl UserAdi {
    /// Opens `mdev` in `container`, and lets it work.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
    pub fn open(container: &mut Container, mdev: &Mdev) -> Result<Self> {
        Self::of_device(container.add_mdev(mdev)?)
    }

    /// Lets a device that is open work.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
    pub fn of_device(device: Device) -> Result<Self> {
        device.set_bus_master(true)?;
        let page = device.map_bar(0)?;
        Ok(Self { device, page })
    }

    /// Reads a register.
    pub fn read32(&self, at: u64) -> u32 {
        self.page.read32(at as usize)
    }

    /// Writes a register.
    pub fn write32(&self, at: u64, value: u32) {
        self.page.write32(at as usize, value);
    }

    /// Writes a register.
    pub fn write64(&self, at: u64, value: u64) {
        self.page.write64(at as usize, value);
    }

    /// The status register.
    pub fn status(&self) -> Status {
        Status::from_bits_retain(self.read32(offset::STATUS))
    }

    /// Descriptors that ended since reset.
    pub fn completed(&self) -> u64 {
        self.page.read64(offset::COMPLETED as usize)
    }

    /// Puts a descriptor into the page and rings.
    pub fn submit(&self, descriptor: &Descriptor) {
        for (at, word) in (offset::INLINE_DESCRIPTOR..)
            .step_by(8)
            .zip(descriptor.to_bytes().chunks_exact(8))
        {
            let word = word.first_chunk().copied().unwrap_or_default();
            self.write64(at, u64::from_le_bytes(word));
        }
        self.write32(offset::INLINE_DOORBELL, 1);
    }

    /// Submits a descriptor and waits for its end.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn execute(&self, descriptor: &Descriptor) -> Result<Completion> {
        let before = self.completed();
        self.submit(descriptor);
        poll::until("the ADI completes", || {
            let done = self.completed() > before;
            Ok(done.then(|| self.completion()).flatten())
        })
    }

    fn completion(&self) -> Option<Completion> {
        let bytes = self
            .page
            .read(offset::COMPLETION as usize, Completion::BYTES);
        Completion::from_bytes(bytes.first_chunk()?)
    }

    /// Runs a descriptor that must succeed.
    ///
    /// # Errors
    ///
    /// When it ends in another way.
    pub fn succeed(&self, descriptor: &Descriptor) -> Result<Completion> {
        let completion = self.execute(descriptor)?;
        ensure!(
            completion.status == CompletionStatus::Success,
            "{completion:x?}"
        );
        Ok(completion)
    }

    /// Sends MSI-X vector `vector` to a new eventfd.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
    pub fn listen(&self, vector: u32) -> Result<EventFd> {
        self.listen_to(uapi::VFIO_PCI_MSIX_IRQ_INDEX, vector)
    }

    /// Sends interrupt `number` with this index to a new eventfd.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
    pub fn listen_to(&self, index: u32, number: u32) -> Result<EventFd> {
        let eventfd = eventfd()?;
        self.device.set_eventfd(index, number, &eventfd)?;
        Ok(eventfd)
    }

    /// Has faults told by a new eventfd, unless an interrupt of the device tells of them.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
    pub fn listen_for_faults(&self) -> Result<EventFd> {
        self.listen_to(uapi::VFIO_PCI_ERR_IRQ_INDEX, 0)
    }

    /// The records of the fault region, oldest first.
    ///
    /// # Errors
    ///
    /// Those of VFIO.
    pub fn faults(&self) -> Result<Vec<Record>> {
        records(&self.device)
    }
}

/// The records of the fault region of `device`, oldest first.
///
/// # Errors
///
/// Those of VFIO.
pub fn records(device: &Device) -> Result<Vec<Record>> {
    let region = device.find_region(fault_region::TYPE, fault_region::SUBTYPE)?;
    let mut bytes = vec![0; fault_region::BYTES];
    device.read(region, 0, &mut bytes)?;
    let mut records: Vec<_> = bytes
        .chunks_exact(fault_region::RECORD_BYTES)
        .skip(1)
        .filter_map(|record| Record::from_bytes(record.first_chunk()?))
        .collect();
    records.sort_by_key(|record| record.number);
    Ok(records)
}

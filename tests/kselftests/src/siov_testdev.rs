// SPDX-License-Identifier: GPL-2.0

//! The emulated device siov-testdev (`Documentation/siov-testdev.rst`): many interfaces of one
//! function, each with a PASID of its own, that copy, fill, check and compare memory.
//!
//! Plays both parts, that of the driver which owns the privileged pages and that of the user who
//! has been given a user page.

use crate::ktap::Result;
use crate::mmio::Mapping;
use crate::pci::Function;
use crate::poll;
use siov_testdev_regs::global;
use siov_testdev_regs::privileged::{self, Command, Control, PasidControl};
use siov_testdev_regs::{pci, user};
use siov_testdev_regs::{
    Completion, CompletionStatus, Descriptor, DescriptorFlags, FaultReason, FaultSource,
    FaultStatus, Opcode,
};
use siov_types::{Iova, Pasid};

pub use siov_testdev_regs as regs;

/// One device.
#[derive(Debug)]
pub struct SiovTestdev {
    /// The PCI function.
    pub function: Function,
    privileged: Mapping,
    user: Mapping,
}

/// A request that failed, as the privileged page tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Why.
    pub reason: Option<FaultReason>,
    /// What for.
    pub source: Option<FaultSource>,
    /// Whether it wanted to write.
    pub write: bool,
    /// The PASID that it carried.
    pub pasid: Option<u32>,
    /// Where it went.
    pub address: u64,
}

impl SiovTestdev {
    /// The device behind `function`, after a reset. The function must be allowed to be bus master.
    ///
    /// # Errors
    ///
    /// Those of mapping its registers, or when it is something else.
    pub fn new(function: Function) -> Result<Self> {
        let device = Self {
            privileged: function.map_bar(pci::BAR_PRIVILEGED as u32)?,
            user: function.map_bar(pci::BAR_USER as u32)?,
            function,
        };
        let id = device.global32(global::offset::ID);
        anyhow::ensure!(id == global::ID, "identification {id:#x}");
        device.reset();
        Ok(device)
    }

    /// Reads a register of the global page.
    pub fn global32(&self, at: u64) -> u32 {
        self.privileged.read32(at as usize)
    }

    /// Writes a register of the global page.
    pub fn set_global32(&self, at: u64, value: u32) {
        self.privileged.write32(at as usize, value);
    }

    /// Reads a register of the global page.
    pub fn global64(&self, at: u64) -> u64 {
        self.privileged.read64(at as usize)
    }

    /// Writes a register of the global page.
    pub fn set_global64(&self, at: u64, value: u64) {
        self.privileged.write64(at as usize, value);
    }

    /// Number of interfaces.
    pub fn adis(&self) -> u32 {
        self.global32(global::offset::ADI_COUNT)
    }

    /// Back to the state after power-on; work in flight ends.
    pub fn reset(&self) {
        self.set_global32(global::offset::CONTROL, global::Control::RESET.bits());
    }

    /// Interface number `index`.
    pub fn adi(&self, index: u32) -> Adi<'_> {
        Adi {
            device: self,
            index,
        }
    }

    /// A raw write of four bytes, with `pasid` or without one: `None` if it was done.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn raw_write(
        &self,
        pasid: Option<u32>,
        address: u64,
        value: u32,
    ) -> Result<Option<FaultReason>> {
        let mut flags = global::RawCommand::WRITE;
        flags.set(global::RawCommand::TAGGED, pasid.is_some());
        self.set_global64(global::offset::RAW_ADDRESS, address);
        self.set_global64(global::offset::RAW_DATA, value.into());
        self.set_global32(global::offset::RAW_PASID, pasid.unwrap_or(0));
        let command = global::RawCommand::new(flags, 4);
        self.set_global32(global::offset::RAW_COMMAND, command.bits());
        poll::until("a raw access ends", || {
            let status = global::RawStatus::from_raw(self.global32(global::offset::RAW_STATUS));
            Ok((status != global::RawStatus::BUSY).then_some(status.failure()))
        })
    }
}

/// An interface of a device.
#[derive(Clone, Copy, Debug)]
pub struct Adi<'a> {
    device: &'a SiovTestdev,
    index: u32,
}

impl Adi<'_> {
    /// Its number.
    pub fn index(self) -> u32 {
        self.index
    }

    /// Reads a register of the privileged page.
    pub fn privileged32(self, at: u64) -> u32 {
        let page = pci::privileged_page(self.index);
        self.device.privileged.read32((page + at) as usize)
    }

    /// Writes a register of the privileged page.
    pub fn set_privileged32(self, at: u64, value: u32) {
        let page = pci::privileged_page(self.index);
        self.device.privileged.write32((page + at) as usize, value);
    }

    fn privileged64(self, at: u64) -> u64 {
        let page = pci::privileged_page(self.index);
        self.device.privileged.read64((page + at) as usize)
    }

    /// Reads a register of the user page.
    pub fn user32(self, at: u64) -> u32 {
        let page = pci::user_page(self.index);
        self.device.user.read32((page + at) as usize)
    }

    /// Writes a register of the user page.
    pub fn set_user32(self, at: u64, value: u32) {
        let page = pci::user_page(self.index);
        self.device.user.write32((page + at) as usize, value);
    }

    /// Writes a register of the user page.
    pub fn set_user64(self, at: u64, value: u64) {
        let page = pci::user_page(self.index);
        self.device.user.write64((page + at) as usize, value);
    }

    /// Lets it take work, with requests that carry `pasid` (at most 20 bits), or none.
    pub fn enable(self, pasid: Option<u32>) {
        self.enable_with(pasid, Control::empty());
    }

    /// As [`enable`](Self::enable), and allows requests without PASID.
    pub fn enable_untagged(self) {
        self.enable_with(None, Control::ALLOW_UNTAGGED);
    }

    fn enable_with(self, pasid: Option<u32>, flags: Control) {
        let pasid = PasidControl::new(pasid.and_then(Pasid::new));
        self.set_privileged32(privileged::offset::PASID, pasid.raw());
        let control = Control::ENABLE | flags;
        self.set_privileged32(privileged::offset::CONTROL, control.bits());
    }

    /// Sends a command.
    pub fn command(self, command: Command) {
        self.set_privileged32(privileged::offset::COMMAND, command as u32);
    }

    /// Privileged status.
    pub fn status(self) -> privileged::Status {
        privileged::Status::from_bits_retain(self.privileged32(privileged::offset::STATUS))
    }

    /// Ends the work in flight in good order, and takes no more.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn drain(self) -> Result {
        self.command(Command::Drain);
        poll::until_true("an ADI drains", || {
            Ok(!self.status().contains(privileged::Status::DRAINING))
        })
    }

    /// Nanoseconds of guest time before each step.
    pub fn set_delay(self, nanoseconds: u64) {
        let page = pci::privileged_page(self.index);
        let at = (page + privileged::offset::DELAY) as usize;
        self.device.privileged.write64(at, nanoseconds);
    }

    /// Takes the recorded fault out of the privileged page.
    pub fn take_fault(self) -> Option<Fault> {
        let status = FaultStatus::from_raw(self.privileged32(privileged::offset::FAULT_STATUS));
        let number = self.privileged32(privileged::offset::FAULT_PASID);
        let address = self.privileged64(privileged::offset::FAULT_ADDRESS);
        self.set_privileged32(privileged::offset::FAULT_STATUS, FaultStatus::VALID);
        status.is_valid().then_some(Fault {
            reason: status.reason(),
            source: status.source(),
            write: status.is_write(),
            pasid: status.is_tagged().then_some(number),
            address,
        })
    }

    /// Faults since reset.
    pub fn fault_count(self) -> u32 {
        self.privileged32(privileged::offset::FAULT_COUNT)
    }

    /// Descriptors finished since reset.
    pub fn completed(self) -> u64 {
        let page = pci::user_page(self.index);
        let at = (page + user::offset::COMPLETED) as usize;
        self.device.user.read64(at)
    }

    /// What the user page tells about the last descriptor.
    pub fn completion(self) -> Option<Completion> {
        let page = pci::user_page(self.index);
        let mut bytes = [0; Completion::BYTES];
        for (index, word) in bytes.chunks_exact_mut(8).enumerate() {
            let at = (page + user::offset::COMPLETION) as usize + 8 * index;
            word.copy_from_slice(&self.device.user.read64(at).to_le_bytes());
        }
        Completion::from_bytes(&bytes)
    }

    /// Puts a descriptor into the user page and rings.
    pub fn submit(self, descriptor: &Descriptor) {
        for (at, word) in (user::offset::INLINE_DESCRIPTOR..)
            .step_by(8)
            .zip(descriptor.to_bytes().chunks_exact(8))
        {
            let word = word.first_chunk().copied().unwrap_or_default();
            self.set_user64(at, u64::from_le_bytes(word));
        }
        self.set_user32(user::offset::INLINE_DOORBELL, 1);
    }

    /// Submits a descriptor and waits for its end.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn execute(self, descriptor: &Descriptor) -> Result<Completion> {
        let before = self.completed();
        self.submit(descriptor);
        self.wait(before + 1)
    }

    /// Waits until so many descriptors have finished since reset: the last completion.
    ///
    /// # Errors
    ///
    /// When they do not finish.
    pub fn wait(self, completed: u64) -> Result<Completion> {
        poll::until(&format!("ADI {} completes", self.index), || {
            let done = self.completed() >= completed;
            Ok(done.then(|| self.completion()).flatten())
        })
    }

    /// Runs a descriptor that must succeed: its completion.
    ///
    /// # Errors
    ///
    /// When it ends in another way.
    pub fn succeed(self, descriptor: &Descriptor) -> Result<Completion> {
        let completion = self.execute(descriptor)?;
        anyhow::ensure!(
            completion.status == CompletionStatus::Success,
            "ADI {}: {completion:x?}, {:x?}",
            self.index,
            self.take_fault()
        );
        Ok(completion)
    }

    /// Runs a descriptor that must fault: the fault, which was the only one.
    ///
    /// # Errors
    ///
    /// When it ends in another way.
    pub fn fault(self, descriptor: &Descriptor) -> Result<Fault> {
        let before = self.fault_count();
        let completion = self.execute(descriptor)?;
        anyhow::ensure!(
            completion.status == CompletionStatus::Fault,
            "ADI {}: {completion:x?} in place of a fault",
            self.index
        );
        let count = self.fault_count() - before;
        anyhow::ensure!(count == 1, "ADI {}: {count} faults", self.index);
        self.take_fault()
            .ok_or_else(|| anyhow::anyhow!("ADI {}: no fault recorded", self.index))
    }
}

/// Copies `len` bytes.
pub fn copy(source: u64, destination: u64, len: usize) -> Descriptor {
    Descriptor {
        opcode: Opcode::Copy,
        source: Iova::new(source),
        destination: Iova::new(destination),
        length: u32::try_from(len).unwrap_or(u32::MAX),
        ..Descriptor::NOP
    }
}

/// Fills `len` bytes with a pattern.
pub fn fill(destination: u64, len: usize, pattern: u64) -> Descriptor {
    Descriptor {
        opcode: Opcode::Fill,
        pattern,
        ..copy(0, destination, len)
    }
}

/// CRC32C of `len` bytes.
pub fn crc32c(source: u64, len: usize) -> Descriptor {
    Descriptor {
        opcode: Opcode::Crc32c,
        ..copy(source, 0, len)
    }
}

/// Compares `len` bytes.
pub fn compare(a: u64, b: u64, len: usize) -> Descriptor {
    Descriptor {
        opcode: Opcode::Compare,
        ..copy(a, b, len)
    }
}

/// The same with a completion record in memory.
pub fn recorded(descriptor: Descriptor, at: u64) -> Descriptor {
    Descriptor {
        flags: descriptor.flags | DescriptorFlags::COMPLETION_RECORD,
        completion: Iova::new(at),
        ..descriptor
    }
}

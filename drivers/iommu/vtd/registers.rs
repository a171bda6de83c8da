// SPDX-License-Identifier: GPL-2.0

//! A unit's registers by name, and the handshake of its command register.

use crate::error::Failure;
use kernel::prelude::*;
use linux::new_raw_spinlock;
use linux::sync::RawSpinLock;
use linux::{mmio, poll};
use siov_types::PhysAddr;
use siov_vtd::regs::{GlobalCommand, GlobalStatus, ProtectedMemory, Reg32, Reg64};

/// How long a unit may take to carry out a command, in milliseconds. The specification sets no
/// limit, and units take microseconds. The wait is one with interrupts off, so it ends well before
/// a processor counts as locked up (10 s); the C driver's `DMAR_OPERATION_TIMEOUT` does not.
const COMMAND_MS: u32 = 2_000;

/// The registers of one unit.
#[pin_data]
pub(crate) struct Registers {
    io: mmio::Registers,
    /// Serialises commands: each repeats the state that the status register shows.
    #[pin]
    command: RawSpinLock<()>,
}

impl Registers {
    /// Takes over claimed registers.
    pub(crate) fn new(io: mmio::Registers) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            io,
            command <- new_raw_spinlock!((), "vtd command"),
        })
    }

    /// Where the registers lie.
    pub(crate) fn phys(&self) -> PhysAddr {
        self.io.phys()
    }

    #[inline]
    pub(crate) fn read32(&self, reg: Reg32) -> u32 {
        self.io.read32(reg.offset())
    }

    #[inline]
    pub(crate) fn write32(&self, reg: Reg32, value: u32) {
        self.io.write32(reg.offset(), value);
    }

    #[inline]
    pub(crate) fn read64(&self, reg: Reg64) -> u64 {
        self.io.read64(reg.offset())
    }

    #[inline]
    pub(crate) fn write64(&self, reg: Reg64, value: u64) {
        self.io.write64(reg.offset(), value);
    }

    /// 64 bits at an offset that a capability register names.
    #[inline]
    pub(crate) fn read64_at(&self, offset: usize) -> u64 {
        self.io.read64(offset)
    }

    /// As [`Self::read64_at`], writing 32 bits.
    #[inline]
    pub(crate) fn write32_at(&self, offset: usize, value: u32) {
        self.io.write32(offset, value);
    }

    /// What the unit is doing.
    pub(crate) fn status(&self) -> GlobalStatus {
        GlobalStatus::from_bits_retain(self.read32(Reg32::Gsts))
    }

    /// Switches `what` on or off and waits until the unit has done so (VT-d spec, 11.4.4).
    pub(crate) fn command(&self, what: GlobalCommand, on: bool) -> Result<(), Failure> {
        let _one_at_a_time = self.command.lock();
        let mut command = self.status().persistent();
        command.set(what, on);
        self.write32(Reg32::Gcmd, command.bits());
        self.await_status(what, on)
    }

    /// Waits for the write buffers of the chipset to drain. Fails at once when they have not since
    /// the last time.
    pub(crate) fn flush_write_buffer(&self) -> Result<(), Failure> {
        let _one_at_a_time = self.command.lock();
        let status = self.status();
        if status.contains(GlobalStatus::WBFS) {
            return Err(Failure::Command(GlobalCommand::WBF));
        }
        let command = status.persistent() | GlobalCommand::WBF;
        self.write32(Reg32::Gcmd, command.bits());
        // Unlike all others, this status bit is set while the command runs.
        self.await_status(GlobalCommand::WBF, false)
    }

    fn await_status(&self, what: GlobalCommand, on: bool) -> Result<(), Failure> {
        let flag = GlobalStatus::from_bits_retain(what.bits());
        if poll::wait_for(COMMAND_MS, || self.status().contains(flag) == on) {
            Ok(())
        } else {
            Err(Failure::Command(what))
        }
    }

    /// Ends firmware's protected memory regions: translation protects from here on.
    pub(crate) fn disable_protected_memory(&self) -> Result<(), Failure> {
        let pmen = ProtectedMemory::from_bits_retain(self.read32(Reg32::Pmen));
        self.write32(Reg32::Pmen, pmen.difference(ProtectedMemory::EPM).bits());
        let off = || {
            !ProtectedMemory::from_bits_retain(self.read32(Reg32::Pmen))
                .contains(ProtectedMemory::PRS)
        };
        if poll::wait_for(COMMAND_MS, off) {
            Ok(())
        } else {
            Err(Failure::ProtectedMemory)
        }
    }
}

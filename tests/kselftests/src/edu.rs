// SPDX-License-Identifier: GPL-2.0

//! QEMU's educational device (QEMU's `docs/specs/edu.rst`): a buffer of one page inside of the
//! device, and a DMA engine that copies between it and the machine's memory.
//!
//! A copy starts 100 ms of guest time after it was asked for. A copy that an IOMMU blocks ends like
//! any other; only the bytes tell.

use crate::ktap::Result;
use crate::mmio::Mapping;
use crate::poll;

/// Bytes of the device's buffer, and the most that one copy moves.
pub const BUFFER: usize = 4096;

/// Where the device's own addresses of the buffer start.
const BUFFER_ADDRESS: u64 = 0x4_0000;

mod register {
    pub const ID: usize = 0x00;
    pub const DMA_SOURCE: usize = 0x80;
    pub const DMA_DESTINATION: usize = 0x88;
    pub const DMA_COUNT: usize = 0x90;
    pub const DMA_COMMAND: usize = 0x98;
}

/// 0xRRrr00ed, for major and minor version RR and rr.
const ID: u32 = 0xed;

const START: u64 = 1 << 0;
const TO_MEMORY: u64 = 1 << 1;

/// The engine of one device.
#[derive(Debug)]
pub struct Edu {
    registers: Mapping,
}

impl Edu {
    /// The device with these registers. Its function must be allowed to be bus master.
    ///
    /// # Errors
    ///
    /// When the identification register says that this is something else.
    pub fn new(registers: Mapping) -> Result<Self> {
        let id = registers.read32(register::ID);
        anyhow::ensure!(id & 0xffff == ID, "identification {id:#x} is not edu's");
        Ok(Self { registers })
    }

    /// Begins a copy of `len` bytes from `iova` to `offset` of the device's buffer.
    pub fn start_read(&self, iova: u64, offset: usize, len: usize) {
        self.start(iova, BUFFER_ADDRESS + offset as u64, len, 0);
    }

    /// Begins a copy of `len` bytes from `offset` of the device's buffer to `iova`.
    pub fn start_write(&self, iova: u64, offset: usize, len: usize) {
        self.start(BUFFER_ADDRESS + offset as u64, iova, len, TO_MEMORY);
    }

    fn start(&self, source: u64, destination: u64, len: usize, direction: u64) {
        let registers = &self.registers;
        registers.write64(register::DMA_SOURCE, source);
        registers.write64(register::DMA_DESTINATION, destination);
        registers.write64(register::DMA_COUNT, len as u64);
        registers.write64(register::DMA_COMMAND, START | direction);
    }

    /// Whether the copy that was begun last goes on.
    pub fn is_busy(&self) -> bool {
        self.registers.read64(register::DMA_COMMAND) & START != 0
    }

    /// Waits for the end of the copy that was begun last.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn wait(&self) -> Result {
        poll::until_true("edu ends a copy", || Ok(!self.is_busy()))
    }

    /// Has the device read `len` bytes at `iova` into the start of its buffer.
    ///
    /// # Errors
    ///
    /// When the copy does not end.
    pub fn read(&self, iova: u64, len: usize) -> Result {
        self.start_read(iova, 0, len);
        self.wait()
    }

    /// Has the device write the first `len` bytes of its buffer to `iova`.
    ///
    /// # Errors
    ///
    /// When the copy does not end.
    pub fn write(&self, iova: u64, len: usize) -> Result {
        self.start_write(iova, 0, len);
        self.wait()
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The ADI's user page (`Documentation/siov-testdev.rst`).

use crate::arch::cpu::relax;
use crate::pci::Bar;
use siov_testdev_regs::user::{offset, Status};
use siov_testdev_regs::{Completion, Descriptor};

/// A user page.
pub struct Adi(pub Bar);

impl Adi {
    /// Reads a register.
    pub fn read(&self, at: u64) -> u32 {
        self.0.register(at).read()
    }

    /// Writes a register.
    pub fn write(&self, at: u64, value: u32) {
        self.0.register(at).write(value);
    }

    /// The status register.
    pub fn status(&self) -> Status {
        Status::from_bits_retain(self.read(offset::STATUS))
    }

    /// Descriptors that ended since reset.
    pub fn completed(&self) -> u32 {
        self.read(offset::COMPLETED)
    }

    /// Puts a descriptor into the page and rings.
    pub fn submit(&self, descriptor: &Descriptor) {
        let bytes = descriptor.to_bytes();
        for (at, word) in (offset::INLINE_DESCRIPTOR..)
            .step_by(4)
            .zip(bytes.chunks_exact(4))
        {
            let word = word.first_chunk().copied().unwrap_or_default();
            self.write(at, u32::from_le_bytes(word));
        }
        self.write(offset::INLINE_DOORBELL, 1);
    }

    /// Runs a descriptor to its end, however long that takes: who started this guest has patience
    /// for it.
    pub fn execute(&self, descriptor: &Descriptor) -> Option<Completion> {
        let before = self.completed();
        self.submit(descriptor);
        while self.completed() == before {
            relax();
        }
        let mut bytes = [0; Completion::BYTES];
        for (at, word) in (offset::COMPLETION..)
            .step_by(4)
            .zip(bytes.chunks_exact_mut(4))
        {
            word.copy_from_slice(&self.read(at).to_le_bytes());
        }
        Completion::from_bytes(&bytes)
    }
}

// SPDX-License-Identifier: GPL-2.0

//! PCI functions of the first bus, as firmware has set them up, by configuration mechanism #1 (PCI
//! Local Bus Specification 3.0, 3.2.2.3.2).

use crate::arch::mmio::Register;
use crate::arch::port::{PCI_ADDRESS, PCI_DATA};

const ENABLE: u32 = 1 << 31;
const COMMAND: u8 = 0x04;
/// Answers to memory accesses, and may begin transactions.
const MEMORY_AND_MASTER: u32 = 6;
const BARS: u8 = 0x10;
const CAPABILITIES: u8 = 0x34;
const MSIX: u8 = 0x11;
const MSIX_ENABLE: u32 = 1 << 31;

/// A function.
pub struct Function {
    /// Device and function number.
    number: u8,
}

impl Function {
    /// The first one with this vendor and device id.
    pub fn find(vendor: u16, device: u16) -> Option<Self> {
        let id = u32::from(vendor) | (u32::from(device) << 16);
        (0..=u8::MAX)
            .map(|number| Self { number })
            .find(|function| function.read(0) == id)
    }

    fn select(&self, at: u8) {
        PCI_ADDRESS.write32(ENABLE | (u32::from(self.number) << 8) | u32::from(at & !3));
    }

    /// Reads the doubleword at `at`.
    pub fn read(&self, at: u8) -> u32 {
        self.select(at);
        PCI_DATA.read32()
    }

    fn write(&self, at: u8, value: u32) {
        self.select(at);
        PCI_DATA.write32(value);
    }

    /// Lets it begin transactions, or not.
    pub fn set_master(&self, on: bool) {
        self.write(COMMAND, if on { MEMORY_AND_MASTER } else { 2 });
    }

    /// The registers behind memory BAR `index`; `None` if firmware gave them no place.
    pub fn bar(&self, index: u8) -> Option<Bar> {
        let base = self.read(BARS + 4 * index) & !0xf;
        (base != 0).then_some(Bar(base.into()))
    }

    /// Its MSI-X capability.
    pub fn msix(&self) -> Option<Msix<'_>> {
        let mut at = self.read(CAPABILITIES) as u8;
        while at >= 0x40 {
            let head = self.read(at);
            if head as u8 == MSIX {
                let place = |at: u8| {
                    let word = self.read(at);
                    Some((self.bar((word & 7) as u8)?, u64::from(word & !7)))
                };
                return Some(Msix {
                    function: self,
                    at,
                    vectors: ((head >> 16) & 0x7ff) + 1,
                    table: place(at + 4)?,
                    pending: place(at + 8)?,
                });
            }
            at = (head >> 8) as u8;
        }
        None
    }
}

/// Registers of a function.
#[derive(Clone, Copy)]
pub struct Bar(u64);

impl Bar {
    /// The register of 32 bits at `offset`.
    pub fn register(&self, offset: u64) -> Register {
        // SAFETY: firmware has put the device's registers there, below 4 GiB.
        unsafe { Register::new(self.0 + offset) }
    }

    /// Where it begins.
    pub fn base(&self) -> u64 {
        self.0
    }
}

/// Message interrupts (6.8.2).
pub struct Msix<'a> {
    function: &'a Function,
    at: u8,
    /// How many.
    pub vectors: u32,
    table: (Bar, u64),
    pending: (Bar, u64),
}

impl Msix<'_> {
    /// Switches them on or off.
    pub fn enable(&self, on: bool) {
        self.function
            .write(self.at, if on { MSIX_ENABLE } else { 0 });
    }

    fn entry(&self, vector: u64, word: u64) -> Register {
        let (bar, offset) = self.table;
        bar.register(offset + vector * 16 + word * 4)
    }

    /// Gives a vector its message.
    pub fn set(&self, vector: u64, (address, data): (u32, u32)) {
        self.entry(vector, 0).write(address);
        self.entry(vector, 1).write(0);
        self.entry(vector, 2).write(data);
    }

    /// Holds a vector back, or lets it go.
    pub fn mask(&self, vector: u64, masked: bool) {
        self.entry(vector, 3).write(masked.into());
    }

    /// Whether a vector is held back and would have come.
    pub fn is_pending(&self, vector: u64) -> bool {
        let (bar, offset) = self.pending;
        (bar.register(offset).read() >> vector) & 1 != 0
    }
}

// SPDX-License-Identifier: GPL-2.0

//! A PCI function that exists in software only: its configuration space (PCI Local Bus
//! Specification 3.0, chapter 6) with memory BARs and MSI-X.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

#[cfg(test)]
extern crate std;

mod msix;

pub use msix::MsixTable;

/// Bytes of configuration space.
pub const BYTES: usize = 256;

/// The identification registers of the function.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Vendor id, also of the subsystem.
    pub vendor: u16,
    /// Device id, also of the subsystem.
    pub device: u16,
    /// Revision id.
    pub revision: u8,
    /// Base class and sub-class.
    pub class: u16,
}

/// MSI-X capability.
#[derive(Clone, Copy, Debug)]
pub struct Msix {
    /// Vectors, 1 to 2048.
    pub vectors: u16,
    /// BAR of table and pending bits.
    pub bar: u8,
    /// Offset of the table in it, a multiple of 8.
    pub table: u32,
    /// Offset of the pending bits in it, a multiple of 8.
    pub pending: u32,
}

/// Bits of the command register.
pub mod command {
    /// The function answers to its memory BARs.
    pub const MEMORY: u16 = 1 << 1;
    /// The function may begin transactions.
    pub const MASTER: u16 = 1 << 2;
    /// No INTx.
    pub const INTX_DISABLE: u16 = 1 << 10;
}

const COMMAND: usize = 0x04;
const STATUS: usize = 0x06;
const STATUS_CAPABILITIES: u16 = 1 << 4;
const BARS: usize = 0x10;
const BAR_COUNT: usize = 6;
const CAPABILITIES: usize = 0x34;
/// The MSI-X capability, and the registers in it (6.8.2).
const MSIX: usize = 0x40;
const MSIX_CONTROL: usize = 0x42;
const MSIX_TABLE: usize = 0x44;
const MSIX_PENDING: usize = 0x48;
const MSIX_ID: u8 = 0x11;
/// Function mask and enable.
const MSIX_CONTROL_WRITABLE: u16 = 0xc000;

/// Configuration space: what it holds, and which bits of it can be written.
#[derive(Clone, Debug)]
pub struct Config {
    bytes: [u8; BYTES],
    writable: [u8; BYTES],
}

impl Config {
    /// The space of a function after reset, with memory BARs of 32 bits of these sizes in bytes: 0
    /// for none, else a power of two of at least 16.
    pub fn new(identity: Identity, bars: [u32; BAR_COUNT], msix: Msix) -> Self {
        let mut this = Self {
            bytes: [0; BYTES],
            writable: [0; BYTES],
        };
        let [sub, base] = identity.class.to_le_bytes();
        this.set(0x00, &identity.vendor.to_le_bytes());
        this.set(0x02, &identity.device.to_le_bytes());
        this.set(0x08, &[identity.revision, 0, sub, base]);
        this.set(0x2c, &identity.vendor.to_le_bytes());
        this.set(0x2e, &identity.device.to_le_bytes());

        let writable = command::MEMORY | command::MASTER | command::INTX_DISABLE;
        this.permit(COMMAND, &writable.to_le_bytes());
        this.set(STATUS, &STATUS_CAPABILITIES.to_le_bytes());
        for (at, size) in (BARS..).step_by(4).zip(bars) {
            // The address bits above the size can be written: its two's complement. Without a size,
            // none can.
            this.permit(at, &size.wrapping_neg().to_le_bytes());
        }

        this.set(CAPABILITIES, &[MSIX as u8]);
        let control = msix.vectors.saturating_sub(1) & 0x7ff;
        this.set(MSIX, &[MSIX_ID, 0]);
        this.set(MSIX_CONTROL, &control.to_le_bytes());
        this.permit(MSIX_CONTROL, &MSIX_CONTROL_WRITABLE.to_le_bytes());
        let place = |offset: u32| ((offset & !7) | u32::from(msix.bar)).to_le_bytes();
        this.set(MSIX_TABLE, &place(msix.table));
        this.set(MSIX_PENDING, &place(msix.pending));
        this
    }

    fn set(&mut self, at: usize, value: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(at).zip(value) {
            *to = *from;
        }
    }

    fn permit(&mut self, at: usize, mask: &[u8]) {
        for (to, from) in self.writable.iter_mut().skip(at).zip(mask) {
            *to = *from;
        }
    }

    /// Reads from `offset` on; zeroes past the end.
    pub fn read(&self, offset: usize, data: &mut [u8]) {
        data.fill(0);
        for (to, from) in data.iter_mut().zip(self.bytes.iter().skip(offset)) {
            *to = *from;
        }
    }

    /// Writes from `offset` on, as far as bits can be written.
    pub fn write(&mut self, offset: usize, data: &[u8]) {
        let masks = self.writable.iter().skip(offset);
        let bytes = self.bytes.iter_mut().skip(offset);
        for ((byte, mask), new) in bytes.zip(masks).zip(data) {
            *byte = (*byte & !mask) | (new & mask);
        }
    }

    /// The command register.
    pub fn command(&self) -> u16 {
        let mut bytes = [0; 2];
        self.read(COMMAND, &mut bytes);
        u16::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn config() -> Config {
        let identity = Identity {
            vendor: 0x1234,
            device: 0x5110,
            revision: 1,
            class: 0x00ff,
        };
        let msix = Msix {
            vectors: 2,
            bar: 1,
            table: 0,
            pending: 0x800,
        };
        Config::new(identity, [4096, 8192, 0, 0, 0, 0], msix)
    }

    fn read32(config: &Config, at: usize) -> u32 {
        let mut bytes = [0; 4];
        config.read(at, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    #[test]
    fn header() {
        let c = config();
        assert_eq!(read32(&c, 0x00), 0x5110_1234);
        assert_eq!(read32(&c, 0x04), 0x0010_0000);
        assert_eq!(read32(&c, 0x08), 0x00ff_0001);
        assert_eq!(read32(&c, 0x2c), 0x5110_1234);
        // No interrupt pin.
        assert_eq!(read32(&c, 0x3c), 0);
    }

    #[test]
    fn bars_tell_their_size() {
        let mut c = config();
        for (at, size) in [(0x10, 0xffff_f000), (0x14, 0xffff_e000), (0x18, 0)] {
            c.write(at, &[0xff; 4]);
            assert_eq!(read32(&c, at), size);
        }
        c.write(0x10, &0xfebd_1004u32.to_le_bytes());
        assert_eq!(read32(&c, 0x10), 0xfebd_1000);
    }

    #[test]
    fn capabilities() {
        let mut c = config();
        assert_eq!(read32(&c, 0x34), 0x40);
        assert_eq!(read32(&c, 0x40), 0x0001_0011);
        assert_eq!(read32(&c, 0x44), 1);
        assert_eq!(read32(&c, 0x48), 0x801);
        c.write(0x42, &[0xff, 0xff]);
        assert_eq!(read32(&c, 0x40), 0xc001_0011);
    }

    #[test]
    fn command_has_three_bits() {
        let mut c = config();
        c.write(COMMAND, &[0xff; 4]);
        assert_eq!(c.command(), 0x0406);
        assert_eq!(read32(&c, 0x04), 0x0010_0406);
    }

    proptest! {
        #[test]
        fn what_cannot_be_written_stays(writes: Vec<(usize, [u8; 4])>) {
            let mut c = config();
            for (at, data) in writes {
                c.write(at % 300, &data);
            }
            prop_assert_eq!(read32(&c, 0), 0x5110_1234);
            prop_assert_eq!(read32(&c, 0x34), 0x40);
            prop_assert_eq!(read32(&c, 0x40) & 0x3fff_ffff, 0x0001_0011);
            prop_assert_eq!(read32(&c, 0x10) & 0xfff, 0);
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Serial ports of virtual machines: Arm's PL011 (QEMU) and the 16550 (kvmtool and others).

use super::mmio::Mmio;

/// A serial port that the loader left ready to send.
#[derive(Clone, Copy, Debug)]
pub enum Uart {
    /// PrimeCell UART (Arm DDI 0183).
    Pl011(Mmio),
    /// 16550 with registers of one byte.
    Ns16550(Mmio),
}

/// PL011: data register, flag register and its "transmit FIFO full".
const DR: u64 = 0x00;
const FR: u64 = 0x18;
const FR_TXFF: u32 = 1 << 5;
/// 16550: transmitter holding register.
const THR: u64 = 0;

impl Uart {
    /// Sends a byte.
    pub fn put(&self, byte: u8) {
        match self {
            Self::Pl011(registers) => {
                while registers.read32(FR) & FR_TXFF != 0 {}
                registers.write32(DR, u32::from(byte));
            }
            // A virtual 16550 takes a byte at any time.
            Self::Ns16550(registers) => registers.write8(THR, byte),
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The first serial port, a 16550 at its customary ports.

use super::port::{UART_DATA, UART_STATUS};

/// Line status: the transmitter takes a byte.
const READY: u8 = 1 << 5;
/// A port that is not there reads as all ones, which looks ready; one that stays busy is not waited
/// for longer.
const PATIENCE: u32 = 1_000_000;

/// A serial port.
#[derive(Clone, Copy, Debug)]
pub struct Uart(());

impl Uart {
    /// The first one.
    pub fn first() -> Self {
        Self(())
    }

    /// Sends a byte.
    pub fn put(&self, byte: u8) {
        let _ready = (0..PATIENCE).any(|_| UART_STATUS.read8() & READY != 0);
        UART_DATA.write8(byte);
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The devices: no more than the tests touch.

use crate::counters::Counters;
use std::io::Write;

/// Ports and addresses.
const UART_DATA: u16 = 0x3f8;
const UART_STATUS: u16 = 0x3fd;
const EXIT: u16 = 0xf4;
const PCI_ADDRESS: u16 = 0xcf8;
const PCI_DATA: u16 = 0xcfc;
/// Index register of the clock, whose writes are collected.
pub const RTC_INDEX: u16 = 0x70;
/// Address register of the host bridge, whose writes are collected.
pub const PCI_INDEX: u16 = PCI_ADDRESS;
/// A register in memory whose reads and writes exit: the HPET's identification.
const HPET: u64 = 0xfed0_0000;
/// A register in memory whose writes are collected.
pub const COALESCED_MMIO: u64 = 0xd000_0000;

const UART_READY: u8 = 0x60;
const HPET_IDENTITY: u32 = 0x8086_a201;
/// Of QEMU's q35.
const HOST_BRIDGE_IDENTITY: u32 = 0x29c0_8086;

/// All devices.
#[derive(Default)]
pub struct Board {
    /// Exits to this program, and writes that came through the ring. Those of the serial port do
    /// not count.
    pub counters: Counters,
    line: Vec<u8>,
    pci_address: u32,
    /// The status that the payload handed over.
    pub status: Option<u8>,
}

/// How a write came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// By an exit of its own.
    Exit,
    /// Through the ring.
    Ring,
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, &byte| (value << 8) | u32::from(byte))
}

fn answer(value: u32, bytes: &mut [u8]) {
    for (to, byte) in bytes.iter_mut().zip(value.to_le_bytes()) {
        *to = byte;
    }
}

impl Board {
    /// A read of a port.
    pub fn input(&mut self, port: u16, bytes: &mut [u8]) {
        if port != UART_STATUS {
            self.counters.add(format!("in:{port:#x}"));
        }
        let value = match port {
            UART_STATUS => u32::from(UART_READY),
            PCI_ADDRESS => self.pci_address,
            PCI_DATA => HOST_BRIDGE_IDENTITY,
            _ => u32::MAX,
        };
        answer(value, bytes);
    }

    /// A write to a port. Returns a line of output once it is whole.
    pub fn output(&mut self, port: u16, bytes: &[u8], by: By) -> Option<String> {
        match port {
            UART_DATA => return self.send(bytes),
            EXIT => self.status = bytes.first().copied(),
            PCI_ADDRESS => self.pci_address = number(bytes),
            _ => (),
        }
        self.count(by, format!("out:{port:#x}"));
        None
    }

    fn send(&mut self, bytes: &[u8]) -> Option<String> {
        for &byte in bytes {
            match byte {
                b'\r' => (),
                b'\n' => {
                    return Some(
                        String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned(),
                    )
                }
                byte => self.line.push(byte),
            }
        }
        None
    }

    /// A read of memory that is none.
    pub fn read(&mut self, address: u64, bytes: &mut [u8]) {
        self.counters.add(format!("read:{address:#x}"));
        answer(if address == HPET { HPET_IDENTITY } else { 0 }, bytes);
    }

    /// A write to memory that is none.
    pub fn write(&mut self, address: u64, by: By) {
        self.count(by, format!("write:{address:#x}"));
    }

    fn count(&mut self, by: By, name: String) {
        self.counters.add(match by {
            By::Exit => name,
            By::Ring => format!("ring-{name}"),
        });
    }
}

/// Shows a line of the payload and the exits since the one before.
pub fn show(line: &str, exits: &Counters) {
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: the payload's own end comes all the same.
    let _ = writeln!(out, "{line}");
    let name = line.split(' ').next().unwrap_or("");
    if !name.is_empty() {
        let _ = writeln!(out, "exits: {name}{}", exits.words());
    }
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let mut board = Board::default();
        let lines: Vec<String> = b"ab\r\n\r\nc"
            .iter()
            .filter_map(|&byte| board.output(UART_DATA, &[byte], By::Exit))
            .collect();
        assert_eq!(lines, ["ab", ""]);
        assert_eq!(board.counters, Counters::default());
    }

    #[test]
    fn the_host_bridge_keeps_its_address() {
        let mut board = Board::default();
        board.output(PCI_ADDRESS, &0x8000_0000u32.to_le_bytes(), By::Ring);
        let mut bytes = [0; 4];
        board.input(PCI_ADDRESS, &mut bytes);
        assert_eq!(u32::from_le_bytes(bytes), 0x8000_0000);
        assert_eq!(board.counters.words(), " in:0xcf8=1 ring-out:0xcf8=1");
    }
}

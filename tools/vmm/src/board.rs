// SPDX-License-Identifier: GPL-2.0

//! The devices: a clock and a PCI host bridge, each with an index port, whose writes may wait, and
//! a data port.

use crate::{Event, SharedRing, Vcpu, Vm, Zone};
use anyhow::Result;
use siov_ring::{Ring, Space, Write};

/// MC146818: index in 0x70, data in 0x71.
#[derive(Debug)]
pub struct Clock {
    index: u8,
    registers: [u8; 128],
}

impl Clock {
    /// The port of the index.
    pub const INDEX: u16 = 0x70;
    /// The port of the data.
    pub const DATA: u16 = 0x71;

    /// What register `index` holds.
    pub fn register(index: u8) -> u8 {
        (index & 0x7f).wrapping_mul(37) ^ 0x5a
    }

    fn new() -> Self {
        Self {
            index: 0,
            registers: std::array::from_fn(|index| Self::register(index as u8)),
        }
    }
}

/// A PCI host bridge: address in 0xcf8, data in 0xcfc.
#[derive(Debug)]
pub struct HostBridge {
    address: u32,
}

impl HostBridge {
    /// The port of the address.
    pub const ADDRESS: u16 = 0xcf8;
    /// The port of the data.
    pub const DATA: u16 = 0xcfc;
    const ENABLE: u32 = 1 << 31;

    /// The address that selects a doubleword of function 00:00.0.
    pub const fn select(dword: u8) -> u32 {
        Self::ENABLE | ((dword as u32 & 63) << 2)
    }

    /// What that doubleword holds; the first is the identity of an i440FX.
    pub const fn dword(dword: u8) -> u32 {
        match dword & 63 {
            0 => 0x1237_8086,
            n => 0x0101_0101 * n as u32,
        }
    }

    fn read(&self) -> u32 {
        // Only function 00:00.0 is there.
        if self.address & !0xfc == Self::ENABLE {
            Self::dword((self.address >> 2) as u8 & 63)
        } else {
            u32::MAX
        }
    }
}

/// How often user space was called.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exits {
    /// For a write to the clock's index.
    pub clock_index: u64,
    /// For the clock's data.
    pub clock_data: u64,
    /// For a write of the bridge's address.
    pub bridge_address: u64,
    /// For the bridge's data.
    pub bridge_data: u64,
    /// For anything else.
    pub other: u64,
}

/// Both devices, and the ring from which they get the writes that waited.
#[derive(Debug)]
pub struct Board {
    clock: Clock,
    bridge: HostBridge,
    ring: Option<SharedRing>,
    /// Whether the ring is drained before an exit is handled. Only a test says no.
    pub drains_first: bool,
    /// How often user space was called.
    pub exits: Exits,
    /// Writes that came by the ring.
    pub drained: u64,
}

impl Board {
    /// The index ports, whose writes do nothing but remember.
    pub const ZONES: [Zone; 2] = [
        Zone::pio(Clock::INDEX, 1),
        Zone::pio(HostBridge::ADDRESS, 4),
    ];

    /// Devices without coalescing.
    pub fn new() -> Self {
        Self {
            clock: Clock::new(),
            bridge: HostBridge { address: 0 },
            ring: None,
            drains_first: true,
            exits: Exits::default(),
            drained: 0,
        }
    }

    /// Has the writes of the index ports coalesced, as far as the kernel can, from now on.
    ///
    /// # Errors
    ///
    /// Those of registering and mapping.
    pub fn coalesce(&mut self, vm: &Vm, vcpu: &Vcpu) -> Result<()> {
        for zone in Self::ZONES {
            if zone.register_if_possible(vm)? == crate::Fallback::Coalesced {
                self.ring = Some(vcpu.ring()?);
            }
        }
        Ok(())
    }

    /// Does what waits in the ring.
    pub fn drain(&mut self) {
        while let Some(write) = self.ring.as_deref().and_then(Ring::pop) {
            self.drained += 1;
            self.write(&write);
        }
    }

    fn write(&mut self, write: &Write) {
        let bytes = write.data.bytes();
        if write.space == Space::Pio && write.addr == Clock::INDEX.into() {
            self.clock.index = bytes[0];
        } else if write.space == Space::Pio
            && write.addr == HostBridge::ADDRESS.into()
            && write.data.len() == 4
        {
            self.bridge.address = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
    }

    fn read(&self, space: Space, addr: u64, bytes: &mut [u8]) {
        bytes.fill(0xff);
        if space == Space::Pio && addr == Clock::DATA.into() {
            bytes[0] = self.clock.registers[usize::from(self.clock.index & 0x7f)];
        } else if space == Space::Pio && addr == HostBridge::DATA.into() {
            let word = self.bridge.read().to_le_bytes();
            for (to, from) in bytes.iter_mut().zip(word) {
                *to = from;
            }
        }
    }

    /// Runs `vcpu` until it halts.
    ///
    /// # Errors
    ///
    /// Those of [`Vcpu::run`].
    pub fn run(&mut self, vcpu: &mut Vcpu) -> Result<()> {
        loop {
            let event = vcpu.run()?;
            if self.drains_first {
                self.drain();
            }
            match event {
                Event::Write(write) => {
                    *self.exits_of(write.space, write.addr) += 1;
                    self.write(&write);
                }
                Event::Read(space, addr, bytes) => {
                    self.read(space, addr, bytes);
                    *self.exits_of(space, addr) += 1;
                }
                Event::Halt => {
                    self.drain();
                    return Ok(());
                }
            }
        }
    }

    fn exits_of(&mut self, space: Space, addr: u64) -> &mut u64 {
        let exits = &mut self.exits;
        match (space, u16::try_from(addr)) {
            (Space::Pio, Ok(Clock::INDEX)) => &mut exits.clock_index,
            (Space::Pio, Ok(Clock::DATA)) => &mut exits.clock_data,
            (Space::Pio, Ok(HostBridge::ADDRESS)) => &mut exits.bridge_address,
            (Space::Pio, Ok(HostBridge::DATA)) => &mut exits.bridge_data,
            _ => &mut exits.other,
        }
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The interrupt translation service: message-signalled interrupts (LPIs) of a GICv3 (Arm IHI
//! 0069H, chapter 5).

use super::gic::{Redistributor, Target, V3};
use super::mmio::{DeviceMemory, Mmio};
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};
use micro_bench_model::its::{
    int, invall, mapc, mapd, mapti, sync, CollectionId, Command, DeviceId, EventId, IntId,
    COMMAND_SIZE,
};

const GITS_CTLR: u64 = 0x0000;
const GITS_CTLR_ENABLED: u32 = 1;
const GITS_TYPER: u64 = 0x0008;
const GITS_TYPER_PTA: u64 = 1 << 19;
const GITS_CBASER: u64 = 0x0080;
const GITS_CWRITER: u64 = 0x0088;
const GITS_CREADR: u64 = 0x0090;
const GITS_BASER: u64 = 0x0100;
const GITS_BASERS: u64 = 8;
const BASER_DEVICES: u64 = 1;
const BASER_COLLECTIONS: u64 = 4;
const BASER_KEPT: u64 = 0x071f_0000_0000_0000; // type and entry size are read-only
const BASER_64K_PAGES: u64 = 2 << 8;
/// Valid; normal memory, write-back; inner shareable.
const BASER_ATTRIBUTES: u64 = (1 << 63) | (7 << 59) | (1 << 10);

const GICR_CTLR: u64 = 0x0000;
const GICR_CTLR_ENABLE_LPIS: u32 = 1;
const GICR_TYPER_PLPIS: u64 = 1;
const GICR_PROPBASER: u64 = 0x0070;
const GICR_PENDBASER: u64 = 0x0078;
/// Normal memory, write-back; inner shareable.
const LPI_ATTRIBUTES: u64 = (7 << 7) | (1 << 10);
const PENDING_TABLE_ZERO: u64 = 1 << 62;
/// Interrupt numbers have 14 bits: 8192 LPIs, whose table fills 8 KiB.
const LPI_ID_BITS: u64 = 14;

/// The LPI that is sent, and how it comes about.
const DEVICE: DeviceId = DeviceId(2);
const EVENT: EventId = EventId(20);
const COLLECTION: CollectionId = CollectionId(1);
/// The LPI of the test.
pub const LPI: IntId = IntId(FIRST_LPI + 7);
const FIRST_LPI: u32 = 8192;
const EVENT_BITS: u8 = 5;
/// An LPI's configuration: priority, enabled.
const LPI_CONFIGURATION: u8 = 0xa0 | 1;

/// Tries until the ITS is believed to be stuck.
const PATIENCE: u32 = 1_000_000;

static QUEUE: DeviceMemory = DeviceMemory::new();
static DEVICES: DeviceMemory = DeviceMemory::new();
static COLLECTIONS: DeviceMemory = DeviceMemory::new();
static EVENTS: DeviceMemory = DeviceMemory::new();
static CONFIGURATION: DeviceMemory = DeviceMemory::new();
static PENDING: DeviceMemory = DeviceMemory::new();
static IN_USE: AtomicBool = AtomicBool::new(false);

/// An ITS that sends one LPI to one processor.
pub struct Its {
    registers: Mmio,
    /// Offset in the queue where the next command goes.
    next: Cell<u64>,
}

impl Its {
    /// Sets up tables and queue, and maps the event to the LPI at `target`. Its memory is there
    /// once, so it can be done once.
    pub fn start(registers: Mmio, gic: &V3, target: &Target) -> Result<Self, &'static str> {
        if IN_USE.swap(true, Ordering::Relaxed) {
            return Err("the ITS is in use");
        }
        let redistributor = gic
            .redistributor(target.mpidr)
            .ok_or("no redistributor for the second processor")?;
        enable_lpis(redistributor)?;

        let its = Self {
            registers,
            next: Cell::new(0),
        };
        its.set_table(BASER_DEVICES, &DEVICES);
        its.set_table(BASER_COLLECTIONS, &COLLECTIONS);
        let pages = (DeviceMemory::SIZE / 4096 - 1) as u64;
        registers.write64(GITS_CBASER, BASER_ATTRIBUTES | QUEUE.address() | pages);
        registers.write64(GITS_CWRITER, 0);
        registers.write32(GITS_CTLR, registers.read32(GITS_CTLR) | GITS_CTLR_ENABLED);

        let place = its.target(redistributor);
        for command in [
            mapd(DEVICE, EVENTS.address(), EVENT_BITS),
            mapc(COLLECTION, place),
            mapti(DEVICE, EVENT, LPI, COLLECTION),
            invall(COLLECTION),
            sync(place),
        ] {
            if !its.command(command) {
                return Err("the ITS does not process its commands");
            }
        }
        Ok(its)
    }

    fn target(&self, redistributor: Redistributor) -> micro_bench_model::its::Target {
        use micro_bench_model::its::Target;
        if self.registers.read64(GITS_TYPER) & GITS_TYPER_PTA != 0 {
            Target::address(redistributor.0.address())
        } else {
            Target::processor((redistributor.typer() >> 8) as u16)
        }
    }

    /// Gives the ITS the table of `kind`, if it wants one.
    fn set_table(&self, kind: u64, table: &DeviceMemory) {
        for index in 0..GITS_BASERS {
            let offset = GITS_BASER + index * 8;
            let value = self.registers.read64(offset);
            if (value >> 56) & 7 == kind {
                let fields = value & BASER_KEPT | BASER_ATTRIBUTES | BASER_64K_PAGES;
                self.registers.write64(offset, fields | table.address());
            }
        }
    }

    /// Queues a command and waits until it is taken. Returns whether it was.
    #[inline(always)]
    fn command(&self, command: Command) -> bool {
        let offset = self.next.get();
        for (index, word) in (offset as usize / 8..).zip(command) {
            QUEUE.write64(index, word);
        }
        let next = (offset + COMMAND_SIZE as u64) % DeviceMemory::SIZE as u64;
        self.next.set(next);
        self.registers.write64(GITS_CWRITER, next);
        (0..PATIENCE).any(|_| self.registers.read64(GITS_CREADR) == next)
    }

    /// Makes the LPI pending. Returns whether the ITS took the command.
    pub fn send(&self) -> bool {
        self.command(int(DEVICE, EVENT))
    }
}

fn enable_lpis(redistributor: Redistributor) -> Result<(), &'static str> {
    if redistributor.typer() & GICR_TYPER_PLPIS == 0 {
        return Err("the redistributor has no LPIs");
    }
    CONFIGURATION.write8((LPI.0 - FIRST_LPI) as usize, LPI_CONFIGURATION);
    let registers = redistributor.0;
    registers.write64(
        GICR_PROPBASER,
        CONFIGURATION.address() | LPI_ATTRIBUTES | (LPI_ID_BITS - 1),
    );
    registers.write64(
        GICR_PENDBASER,
        PENDING.address() | LPI_ATTRIBUTES | PENDING_TABLE_ZERO,
    );
    registers.write32(
        GICR_CTLR,
        registers.read32(GICR_CTLR) | GICR_CTLR_ENABLE_LPIS,
    );
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0

//! The local APIC of each processor, in its memory-mapped mode (Intel SDM volume 3, chapter 12).

use super::cpu::{rdmsr, Msr};
use super::mmio::Register;

const ID: u64 = 0x020;
const TASK_PRIORITY: u64 = 0x080;
const EOI: u64 = 0x0b0;
const SPURIOUS: u64 = 0x0f0;
const COMMAND: u64 = 0x300;
const COMMAND_TARGET: u64 = 0x310;
const LINT0: u64 = 0x350;

const ENABLE: u32 = 1 << 8;
const MASKED: u32 = 1 << 16;
/// Interrupt command: level asserted, which all but one kind must be.
const ASSERT: u32 = 1 << 14;
const INIT: u32 = 5 << 8;
const STARTUP: u32 = 6 << 8;
const SELF: u32 = 1 << 18;
const ALL_OTHERS: u32 = 3 << 18;
const PENDING: u32 = 1 << 12;

/// Vector of the test's interrupts.
pub const VECTOR: u8 = 0x40;
/// Vector of spurious interrupts.
pub const SPURIOUS_VECTOR: u8 = 0xff;
/// Tries until a command is believed to be stuck.
const PATIENCE: u32 = 1_000_000;

/// Address of a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApicId(pub u8);

/// The local APIC of the processor that asks.
#[derive(Clone, Copy, Debug)]
pub struct Apic {
    eoi: Register,
    command: Register,
    command_target: Register,
    base: u64,
}

fn register(base: u64, offset: u64) -> Register {
    // SAFETY: a register of the local APIC, in the page that its base register names.
    unsafe { Register::new(base + offset) }
}

impl Apic {
    /// Finds it; `None` if the firmware left it disabled or in its other mode.
    pub fn find() -> Option<Self> {
        const X2APIC: u64 = 1 << 10;
        const ENABLED: u64 = 1 << 11;
        let value = rdmsr(Msr::ApicBase);
        if value & (ENABLED | X2APIC) != ENABLED {
            return None;
        }
        let base = value & 0xffff_f000;
        Some(Self {
            eoi: register(base, EOI),
            command: register(base, COMMAND),
            command_target: register(base, COMMAND_TARGET),
            base,
        })
    }

    fn register(&self, offset: u64) -> Register {
        register(self.base, offset)
    }

    /// Lets interrupts come from other APICs only.
    pub fn enable(&self) {
        self.register(SPURIOUS)
            .write(ENABLE | u32::from(SPURIOUS_VECTOR));
        self.register(TASK_PRIORITY).write(0);
        self.register(LINT0).write(MASKED);
    }

    /// This processor's address.
    pub fn id(&self) -> ApicId {
        ApicId((self.register(ID).read() >> 24) as u8)
    }

    /// The interrupt in service is done; without one it has no effect.
    #[inline(always)]
    pub fn end(&self) {
        self.eoi.write(0);
    }

    /// Sends [`VECTOR`] to this processor.
    #[inline(always)]
    pub fn send_self(&self) {
        self.command.write(SELF | ASSERT | u32::from(VECTOR));
    }

    /// Sends [`VECTOR`] to another processor.
    #[inline(always)]
    pub fn send(&self, target: ApicId) {
        self.command_target.write(u32::from(target.0) << 24);
        self.command.write(ASSERT | u32::from(VECTOR));
    }

    /// Resets all other processors.
    pub fn reset_others(&self) {
        self.command_others(INIT);
    }

    /// Starts all other processors, after a reset, in real mode at this page.
    pub fn start_others(&self, page: u8) {
        self.command_others(STARTUP | u32::from(page));
    }

    fn command_others(&self, command: u32) {
        self.command.write(ALL_OTHERS | ASSERT | command);
        let _sent = (0..PATIENCE).any(|_| self.command.read() & PENDING == 0);
    }
}

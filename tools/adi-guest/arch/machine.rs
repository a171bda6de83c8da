// SPDX-License-Identifier: GPL-2.0

//! The machine: one processor that takes interrupts from its local APIC only.

use super::apic::{Apic, VECTOR};
use super::cpu;
use super::port::PIC_MASKS;
use crate::irq;
use crate::once::Once;

static APIC: Once<Apic> = Once::new();

/// A machine whose processor takes interrupts.
pub struct Machine {
    apic: Apic,
}

impl Machine {
    /// Lets interrupts with [`VECTOR`] in, and no others.
    pub fn detect() -> Result<Self, &'static str> {
        for mask in PIC_MASKS {
            mask.write8(0xff);
        }
        let apic = Apic::find().ok_or("the local APIC is not in its memory-mapped mode")?;
        apic.enable();
        APIC.set(apic);
        irq::expect(u32::from(VECTOR));
        cpu::unmask_interrupts();
        Ok(Self { apic })
    }

    /// Address and data of a message that interrupts this processor with [`VECTOR`] (Intel SDM
    /// volume 3, 12.11).
    pub fn message(&self) -> (u32, u32) {
        let target = u32::from(self.apic.id().0) << 12;
        (0xfee0_0000 | target, u32::from(VECTOR))
    }
}

/// In the handler: done with the interrupt.
pub fn end_of_interrupt() {
    if let Some(apic) = APIC.get() {
        apic.end();
    }
}

/// Nobody starts a second processor.
pub fn enter_second() {}

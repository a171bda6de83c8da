// SPDX-License-Identifier: GPL-2.0

//! GICv2: CPU interfaces are memory-mapped, and there are eight at most.

use super::{gicd, Gic, Target, ALL_SGIS, PRIORITIES, PRIORITY_MASK};
use crate::arch::imp::cpu::Mpidr;
use crate::arch::imp::mmio::Mmio;

/// Distributor: which interfaces an interrupt goes to, a byte each; those of private interrupts
/// read as the reader's own interface.
const GICD_ITARGETSR: u64 = 0x800;
/// Distributor: sends a software-generated interrupt.
const GICD_SGIR: u64 = 0xf00;
const GICD_CTLR_ENABLE: u32 = 1;

/// CPU interface.
const GICC_CTLR: u64 = 0x00;
const GICC_PMR: u64 = 0x04;
const GICC_IAR: u64 = 0x0c;
const GICC_EOIR: u64 = 0x10;
const GICC_CTLR_ENABLE: u32 = 1;
/// Interrupt number in GICC_IAR; above it stands who sent it.
const IAR_ID: u32 = 0x3ff;

/// A GICv2.
pub struct V2 {
    /// Registers of the distributor.
    pub distributor: Mmio,
    /// Registers of this processor's CPU interface, the same address on each.
    pub interface: Mmio,
}

impl Gic for V2 {
    fn name(&self) -> &'static str {
        "GICv2"
    }

    fn distributor(&self) -> Mmio {
        self.distributor
    }

    fn enable(&self) {
        self.distributor.write32(gicd::CTLR, GICD_CTLR_ENABLE);
    }

    fn enable_processor(&self) -> Result<(), &'static str> {
        for offset in (0..32).step_by(4) {
            self.distributor
                .write32(gicd::IPRIORITYR + offset, PRIORITIES);
        }
        self.distributor.write32(gicd::ISENABLER, ALL_SGIS);
        self.interface.write32(GICC_PMR, PRIORITY_MASK);
        self.interface.write32(GICC_CTLR, GICC_CTLR_ENABLE);
        Ok(())
    }

    fn enable_private(&self, id: u32) -> Result<(), &'static str> {
        self.distributor.write32(gicd::ISENABLER, 1 << (id % 32));
        Ok(())
    }

    fn this_processor(&self) -> Target {
        Target {
            mpidr: Mpidr::current(),
            interface: self.distributor.read32(GICD_ITARGETSR) as u8,
        }
    }

    fn acknowledge(&self) -> u32 {
        self.interface.read32(GICC_IAR)
    }

    fn id(&self, acknowledged: u32) -> u32 {
        acknowledged & IAR_ID
    }

    fn end(&self, acknowledged: u32) {
        self.interface.write32(GICC_EOIR, acknowledged);
    }

    fn send(&self, id: u32, target: &Target) {
        self.distributor
            .write32(GICD_SGIR, (u32::from(target.interface) << 16) | id);
    }

    fn set_hardware_sgi(&self, _hardware: bool) -> bool {
        false
    }
}

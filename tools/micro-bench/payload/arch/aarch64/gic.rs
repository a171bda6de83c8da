// SPDX-License-Identifier: GPL-2.0

//! Interrupt controllers: Arm's GIC, versions 2 (IHI 0048B) and 3 (IHI 0069H).

mod v2;
mod v3;

pub use v2::V2;
pub use v3::{Redistributor, V3};

use super::cpu::Mpidr;
use super::mmio::Mmio;
use crate::once::Once;

/// The interrupt controller of this machine, once it is found.
pub static GIC: Once<AnyGic> = Once::new();

/// Either version. Which one is known only at run time, so calls go through a table of functions.
pub struct AnyGic(&'static (dyn Gic + Sync));

impl core::ops::Deref for AnyGic {
    type Target = dyn Gic + Sync;

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

/// Sets the interrupt controller. Returns it.
pub fn install(gic: &'static (dyn Gic + Sync)) -> Option<&'static (dyn Gic + Sync)> {
    GIC.set(AnyGic(gic)).map(|gic| gic.0)
}

/// Interrupt number from which on the controller means "none": spurious and special numbers.
pub const SPURIOUS: u32 = 1023;

/// A processor as target of interrupts.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its affinity (version 3).
    pub mpidr: Mpidr,
    /// Its bit among the CPU interfaces (version 2).
    pub interface: u8,
}

/// What the tests need of an interrupt controller.
pub trait Gic {
    /// Name for the output.
    fn name(&self) -> &'static str;

    /// The distributor's registers.
    fn distributor(&self) -> Mmio;

    /// Brings up the distributor. Once, on the first processor.
    fn enable(&self);

    /// Lets software-generated interrupts reach this processor. An error says what is missing.
    fn enable_processor(&self) -> Result<(), &'static str>;

    /// Enables a private peripheral interrupt of this processor.
    fn enable_private(&self, id: u32) -> Result<(), &'static str>;

    /// This processor as a target.
    fn this_processor(&self) -> Target;

    /// Takes the interrupt that is signalled.
    fn acknowledge(&self) -> u32;

    /// The interrupt's number in what `acknowledge` returned.
    fn id(&self, acknowledged: u32) -> u32;

    /// Done with what `acknowledge` returned.
    fn end(&self, acknowledged: u32);

    /// Sends software-generated interrupt `id`, 0 to 15, to one processor.
    fn send(&self, id: u32, target: &Target);

    /// Switches between software-generated interrupts that the hypervisor delivers and those that
    /// hardware delivers to a virtual processor (GICv4.1). Returns whether there is that choice.
    fn set_hardware_sgi(&self, hardware: bool) -> bool;
}

/// Registers of the distributor that both versions have.
pub mod gicd {
    /// Control.
    pub const CTLR: u64 = 0x000;
    /// Who made it: the register that mmio_read_vgic reads.
    pub const IIDR: u64 = 0x008;
    /// Security group, a bit each.
    pub const IGROUPR: u64 = 0x080;
    /// Enable, a bit each.
    pub const ISENABLER: u64 = 0x100;
    /// Priority, a byte each.
    pub const IPRIORITYR: u64 = 0x400;
}

/// Priority of all interrupts, four at a time; and the mask that lets them through.
const PRIORITIES: u32 = 0xa0a0_a0a0;
const PRIORITY_MASK: u32 = 0xf0;
/// Software-generated interrupts are numbers 0 to 15.
const ALL_SGIS: u32 = 0xffff;

// SPDX-License-Identifier: GPL-2.0

//! GICv3: CPU interfaces are system registers, and each processor has a redistributor.

use super::{gicd, Gic, Target, ALL_SGIS, PRIORITIES, PRIORITY_MASK};
use crate::arch::imp::cpu::{self, read_sysreg, write_sysreg, Mpidr};
use crate::arch::imp::mmio::Mmio;
use micro_bench_model::fdt::Reg;

/// Distributor: optional features.
const GICD_TYPER2: u64 = 0x00c;
/// Hardware can deliver software-generated interrupts to a virtual processor, without an active
/// state.
const GICD_TYPER2_NASSGICAP: u32 = 1 << 8;
/// Group 1 interrupts on, as the bit for either view of security, with affinity routing.
const GICD_CTLR_ENABLE_GROUP1: u32 = 0x3;
const GICD_CTLR_ARE: u32 = 1 << 4;
const GICD_CTLR_NASSGIREQ: u32 = 1 << 8;
const GICD_CTLR_RWP: u32 = 1 << 31;

const GICR_TYPER: u64 = 0x0008;
const GICR_TYPER_VLPIS: u64 = 1 << 1;
const GICR_TYPER_LAST: u64 = 1 << 4;
const GICR_WAKER: u64 = 0x0014;
const GICR_WAKER_PROCESSOR_SLEEP: u32 = 1 << 1;
const GICR_WAKER_CHILDREN_ASLEEP: u32 = 1 << 2;
/// The frame of private interrupts has the distributor's register layout.
const SGI_FRAME: u64 = 0x1_0000;
/// Two frames of 64 KiB, four with virtual LPIs.
const STRIDE: u64 = 0x2_0000;

/// Tries until a register is believed to be stuck.
const PATIENCE: u32 = 1_000_000;

/// A redistributor.
#[derive(Clone, Copy, Debug)]
pub struct Redistributor(pub Mmio);

impl Redistributor {
    /// Its GICR_TYPER.
    pub fn typer(self) -> u64 {
        self.0.read64(GICR_TYPER)
    }

    fn wake(self) -> Result<(), &'static str> {
        let waker = self.0.read32(GICR_WAKER);
        self.0
            .write32(GICR_WAKER, waker & !GICR_WAKER_PROCESSOR_SLEEP);
        if wait(|| self.0.read32(GICR_WAKER) & GICR_WAKER_CHILDREN_ASLEEP == 0) {
            Ok(())
        } else {
            Err("the redistributor does not wake")
        }
    }
}

/// A GICv3 or newer.
pub struct V3 {
    /// Registers of the distributor.
    pub distributor: Mmio,
    /// Where redistributors are.
    pub regions: [Option<Reg>; V3::MAX_REGIONS],
    /// Distance of two redistributors, if the devicetree gives it.
    pub stride: Option<u64>,
}

fn wait(done: impl Fn() -> bool) -> bool {
    (0..PATIENCE).any(|_| done())
}

impl V3 {
    /// Redistributor regions that are looked at; virtual machines have one or two.
    pub const MAX_REGIONS: usize = 4;

    /// The redistributor of a processor.
    pub fn redistributor(&self, mpidr: Mpidr) -> Option<Redistributor> {
        self.regions
            .iter()
            .flatten()
            .find_map(|region| self.redistributor_in(region, mpidr))
    }

    fn redistributor_in(&self, region: &Reg, mpidr: Mpidr) -> Option<Redistributor> {
        let mut offset = 0;
        while offset + STRIDE <= region.size {
            // SAFETY: within a region that the devicetree gives for redistributors.
            let redistributor = Redistributor(unsafe { Mmio::new(region.address + offset) });
            let typer = redistributor.typer();
            if typer >> 32 == mpidr.packed() {
                return Some(redistributor);
            }
            if typer & GICR_TYPER_LAST != 0 {
                return None;
            }
            let frames = if typer & GICR_TYPER_VLPIS != 0 {
                2 * STRIDE
            } else {
                STRIDE
            };
            offset += self.stride.unwrap_or(frames);
        }
        None
    }

    fn this_redistributor(&self) -> Result<Redistributor, &'static str> {
        self.redistributor(Mpidr::current())
            .ok_or("no redistributor for this processor")
    }

    fn set_control(&self, value: u32) {
        self.distributor.write32(gicd::CTLR, value);
        wait(|| self.distributor.read32(gicd::CTLR) & GICD_CTLR_RWP == 0);
    }
}

impl Gic for V3 {
    fn name(&self) -> &'static str {
        "GICv3"
    }

    fn distributor(&self) -> Mmio {
        self.distributor
    }

    fn enable(&self) {
        self.set_control(0);
        self.set_control(GICD_CTLR_ARE | GICD_CTLR_ENABLE_GROUP1);
    }

    fn enable_processor(&self) -> Result<(), &'static str> {
        let redistributor = self.this_redistributor()?;
        redistributor.wake()?;
        let private = redistributor.0.at(SGI_FRAME);
        private.write32(gicd::IGROUPR, u32::MAX);
        for offset in (0..32).step_by(4) {
            private.write32(gicd::IPRIORITYR + offset, PRIORITIES);
        }
        private.write32(gicd::ISENABLER, ALL_SGIS);
        if cpu::is_el2() {
            // SAFETY: the read of ICC_SRE_EL2 has no effect.
            let interface: u64 = unsafe { read_sysreg!("S3_4_C12_C9_5") };
            // SRE and Enable.
            let interface = interface | 0x9;
            // SAFETY: lets EL1 use the registers of the interrupt controller.
            unsafe { write_sysreg!("S3_4_C12_C9_5", interface) };
        }
        // SAFETY: the read of ICC_SRE_EL1 has no effect.
        let interface: u64 = unsafe { read_sysreg!("S3_0_C12_C12_5") };
        // SRE.
        let interface = interface | 1;
        // SAFETY: switches from memory-mapped registers of the interrupt controller to these.
        unsafe { write_sysreg!("S3_0_C12_C12_5", interface) };
        cpu::barrier();
        let mask = u64::from(PRIORITY_MASK);
        // SAFETY: ICC_PMR_EL1: interrupts of these priorities are let in, by handlers that are
        // installed.
        unsafe { write_sysreg!("S3_0_C4_C6_0", mask) };
        let enable = 1u64;
        // SAFETY: ICC_IGRPEN1_EL1: interrupts of group 1 are let in, by handlers that are
        // installed.
        unsafe { write_sysreg!("S3_0_C12_C12_7", enable) };
        cpu::barrier();
        Ok(())
    }

    fn enable_private(&self, id: u32) -> Result<(), &'static str> {
        let private = self.this_redistributor()?.0.at(SGI_FRAME);
        private.write32(gicd::ISENABLER, 1 << (id % 32));
        Ok(())
    }

    fn this_processor(&self) -> Target {
        Target {
            mpidr: Mpidr::current(),
            interface: 0,
        }
    }

    fn acknowledge(&self) -> u32 {
        // SAFETY: ICC_IAR1_EL1: acknowledges an interrupt, in its handler.
        let acknowledged: u64 = unsafe { read_sysreg!("S3_0_C12_C12_0") };
        cpu::data_barrier();
        acknowledged as u32
    }

    fn id(&self, acknowledged: u32) -> u32 {
        acknowledged & 0x00ff_ffff
    }

    fn end(&self, acknowledged: u32) {
        let acknowledged = u64::from(acknowledged);
        // SAFETY: ICC_EOIR1_EL1: ends an interrupt, in its handler.
        unsafe { write_sysreg!("S3_0_C12_C12_1", acknowledged) };
        cpu::barrier();
    }

    fn send(&self, id: u32, target: &Target) {
        let Target { mpidr, .. } = target;
        let value = (mpidr.affinity(3) << 48)
            | (mpidr.affinity(2) << 32)
            | (u64::from(id) << 24)
            | (mpidr.affinity(1) << 16)
            // Affinity 0 in steps of 16, and a bit within the step.
            | ((mpidr.affinity(0) >> 4) << 44)
            | (1 << (mpidr.affinity(0) & 0xf));
        cpu::data_barrier();
        // SAFETY: ICC_SGI1R_EL1: sends an interrupt to a processor whose handlers are installed.
        unsafe { write_sysreg!("S3_0_C12_C11_5", value) };
        cpu::barrier();
    }

    fn set_hardware_sgi(&self, hardware: bool) -> bool {
        if self.distributor.read32(GICD_TYPER2) & GICD_TYPER2_NASSGICAP == 0 {
            return false;
        }
        // The choice can be made only while group 1 is off.
        let request = if hardware { GICD_CTLR_NASSGIREQ } else { 0 };
        self.set_control(GICD_CTLR_ARE);
        self.set_control(GICD_CTLR_ARE | request);
        self.set_control(GICD_CTLR_ARE | request | GICD_CTLR_ENABLE_GROUP1);
        true
    }
}

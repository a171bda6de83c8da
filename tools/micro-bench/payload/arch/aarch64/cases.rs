// SPDX-License-Identifier: GPL-2.0

//! The tests of arm64, in the order of the original.

use super::cpu::{self, write_sysreg};
use super::exception::{mask_timer, set_timer, TIMER_ENABLE};
use super::gic::{gicd, SPURIOUS};
use super::its::{Its, LPI};
use super::machine::Machine;
use super::psci::{empty_call, NOT_SUPPORTED};
use crate::bench::{Case, Obstacle};
use crate::irq;
use crate::wait::take_interrupts;

const TIMER_TIMES: u32 = 256;
const TIMER_MS: u64 = 10;
/// Software-generated interrupt of the IPI tests.
const SGI: u32 = 1;

/// Registers of a virtio transport over MMIO (Virtio 1.2, 4.2.2).
const VIRTIO_MAGIC: u64 = 0x000;
const VIRTIO_MAGIC_VALUE: u32 = 0x7472_6976;
/// The register that mmio_read_user reads.
pub const VIRTIO_DEVICE_ID: u64 = 0x008;

/// All tests.
pub static CASES: &[Case] = &[
    Case::plain("hyp_call", prepare_hyp_call, hyp_call),
    Case::plain("mmio_read_user", prepare_mmio_read_user, mmio_read_user),
    Case::plain("mmio_read_vgic", prepare_mmio_read_vgic, mmio_read_vgic),
    Case::plain("eoi", prepare_eoi, eoi),
    Case::interrupting("ipi", prepare_ipi, ipi),
    Case::interrupting("ipi_hw", prepare_ipi_hw, ipi),
    Case::interrupting("lpi", prepare_lpi, lpi),
    Case {
        wait_ms: TIMER_MS,
        times: TIMER_TIMES,
        ..Case::interrupting("timer_10ms", prepare_timer, timer)
    },
];

fn prepare_hyp_call(machine: &mut Machine) -> Result<(), Obstacle> {
    let conduit = machine
        .conduit
        .ok_or(Obstacle::Skip("the devicetree names no PSCI conduit"))?;
    match empty_call(conduit) {
        NOT_SUPPORTED => Ok(()),
        _ => Err(Obstacle::Fail("a call that nobody defines was not refused")),
    }
}

fn hyp_call(machine: &Machine) -> bool {
    if let Some(conduit) = machine.conduit {
        empty_call(conduit);
    }
    true
}

fn prepare_mmio_read_user(machine: &mut Machine) -> Result<(), Obstacle> {
    match machine.user_magic {
        Some(transport) if transport.read32(VIRTIO_MAGIC) != VIRTIO_MAGIC_VALUE => {
            Err(Obstacle::Fail("the virtio transport has no magic number"))
        }
        _ if machine.user.is_none() => Err(Obstacle::Skip("no virtio transport, give mmio-addr=")),
        _ => Ok(()),
    }
}

fn mmio_read_user(machine: &Machine) -> bool {
    if let Some(register) = machine.user {
        register.read32(0);
    }
    true
}

fn prepare_mmio_read_vgic(machine: &mut Machine) -> Result<(), Obstacle> {
    let distributor = machine.need_gic()?.distributor();
    match distributor.read32(gicd::IIDR) {
        0 => Err(Obstacle::Fail("GICD_IIDR names no implementer")),
        _ => Ok(()),
    }
}

fn mmio_read_vgic(machine: &Machine) -> bool {
    if let Some(distributor) = machine.distributor {
        distributor.read32(gicd::IIDR);
    }
    true
}

fn prepare_eoi(machine: &mut Machine) -> Result<(), Obstacle> {
    machine.need_gic().map(|_| ())
}

/// Ends the spurious interrupt, which has no effect but the exit.
fn eoi(machine: &Machine) -> bool {
    if let Some(gic) = machine.gic {
        gic.end(SPURIOUS);
    }
    true
}

fn prepare_ipi(machine: &mut Machine) -> Result<(), Obstacle> {
    machine.need_second()?;
    machine.need_gic()?.set_hardware_sgi(false);
    irq::expect(SGI);
    Ok(())
}

fn prepare_ipi_hw(machine: &mut Machine) -> Result<(), Obstacle> {
    machine.need_second()?;
    if !machine.need_gic()?.set_hardware_sgi(true) {
        return Err(Obstacle::Skip("no GICv4.1"));
    }
    irq::expect(SGI);
    Ok(())
}

fn ipi(machine: &Machine) -> bool {
    let (Some(gic), Some(target)) = (machine.gic, &machine.second) else {
        return false;
    };
    machine.patience.interrupt_after(|| gic.send(SGI, target))
}

fn prepare_lpi(machine: &mut Machine) -> Result<(), Obstacle> {
    let (Some(gic), Some(registers)) = (machine.v3, machine.its_registers) else {
        return Err(Obstacle::Skip("no ITS"));
    };
    let target = machine.need_second()?;
    irq::expect(LPI.0);
    machine.its = Some(Its::start(registers, gic, &target).map_err(Obstacle::Fail)?);
    Ok(())
}

fn lpi(machine: &Machine) -> bool {
    let Some(its) = &machine.its else {
        return false;
    };
    machine.patience.interrupt_after(|| {
        its.send();
    })
}

fn prepare_timer(machine: &mut Machine) -> Result<(), Obstacle> {
    let gic = machine.need_gic()?;
    let id = machine.timer.ok_or(Obstacle::Skip(
        "the devicetree names no virtual timer for this level",
    ))?;
    mask_timer();
    set_timer(id);
    irq::expect(id);
    gic.enable_private(id).map_err(Obstacle::Fail)?;
    take_interrupts();
    machine.park_second();
    Ok(())
}

fn timer(machine: &Machine) -> bool {
    machine.patience.interrupt_after(|| {
        let due = super::counter() + machine.clock().ticks_of_ms(TIMER_MS);
        // SAFETY: sets the timer, whose interrupt is expected.
        unsafe { write_sysreg!("cntv_cval_el0", due) };
        let control = TIMER_ENABLE;
        // SAFETY: lets the timer's interrupt in, which is expected.
        unsafe { write_sysreg!("cntv_ctl_el0", control) };
        cpu::barrier();
    })
}

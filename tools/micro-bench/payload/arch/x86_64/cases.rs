// SPDX-License-Identifier: GPL-2.0

//! The tests of x86. Names that kvm-unit-tests' vmexit has, too, mean the same here.

use super::cpu::{cpuid, empty_call, rdmsr, wrmsr, Msr, ENOSYS};
use super::machine::Machine;
use super::port::{ELCR, PCI_ADDRESS, PCI_DATA, POST, RTC_INDEX};
use crate::bench::{Case, Obstacle};
use crate::wait::take_interrupts;

/// All tests. Those that let this processor take interrupts come last.
pub static CASES: &[Case] = &[
    Case::plain("cpuid", prepare_nothing, run_cpuid),
    Case::plain("vmcall", prepare_vmcall, vmcall),
    Case::plain("rdmsr", prepare_nothing, run_rdmsr),
    Case::plain("wrmsr", prepare_nothing, run_wrmsr),
    Case::plain("rd_tsc_adjust_msr", prepare_tsc_adjust, rd_tsc_adjust),
    Case::plain("wr_tsc_adjust_msr", prepare_tsc_adjust, wr_tsc_adjust),
    Case::plain("inl_from_kernel", prepare_nothing, inl_from_kernel),
    Case::plain("inl_from_user", prepare_pci, inl_from_user),
    Case::plain("outb_plain", prepare_nothing, outb_plain),
    Case::plain("outb_0x70", prepare_nothing, outb_0x70),
    Case::plain("outl_plain", prepare_pci, outl_plain),
    Case::plain("outl_0xcf8", prepare_pci, outl_0xcf8),
    Case::plain("mmio_read_user", prepare_mmio, mmio_read_user),
    Case::plain("mmio_write_user", prepare_mmio, mmio_write_user),
    Case::plain(
        "mmio_write_coalesced",
        prepare_coalesced,
        mmio_write_coalesced,
    ),
    Case::plain("eoi", prepare_nothing, eoi),
    Case::interrupting("ipi", prepare_ipi, ipi),
    Case::interrupting("self_ipi", prepare_self_ipi, self_ipi),
];

fn prepare_nothing(_machine: &mut Machine) -> Result<(), Obstacle> {
    Ok(())
}

fn run_cpuid(_machine: &Machine) -> bool {
    cpuid(0);
    true
}

fn prepare_vmcall(machine: &mut Machine) -> Result<(), Obstacle> {
    match machine.hypercall.map(empty_call) {
        None => Err(Obstacle::Skip("no hypervisor answers")),
        Some(ENOSYS) => Ok(()),
        Some(_) => Err(Obstacle::Fail("a call that nobody defines was not refused")),
    }
}

fn vmcall(machine: &Machine) -> bool {
    if let Some(instruction) = machine.hypercall {
        empty_call(instruction);
    }
    true
}

fn run_rdmsr(_machine: &Machine) -> bool {
    rdmsr(Msr::ApicBase);
    true
}

/// Writes what is there.
fn run_wrmsr(machine: &Machine) -> bool {
    // SAFETY: the value that the register has.
    unsafe { wrmsr(Msr::ApicBase, machine.apic_base) };
    true
}

fn prepare_tsc_adjust(_machine: &mut Machine) -> Result<(), Obstacle> {
    const TSC_ADJUST: u32 = 1 << 1;
    if cpuid(0).eax < 7 || cpuid(7).ebx & TSC_ADJUST == 0 {
        return Err(Obstacle::Skip("no TSC_ADJUST register"));
    }
    match rdmsr(Msr::TscAdjust) {
        0 => Ok(()),
        _ => Err(Obstacle::Skip("TSC_ADJUST is in use")),
    }
}

fn rd_tsc_adjust(_machine: &Machine) -> bool {
    rdmsr(Msr::TscAdjust);
    true
}

fn wr_tsc_adjust(_machine: &Machine) -> bool {
    // SAFETY: sets a counter.
    unsafe { wrmsr(Msr::TscAdjust, 0) };
    true
}

fn inl_from_kernel(_machine: &Machine) -> bool {
    ELCR.read8();
    true
}

/// Device 0 of bus 0 with its access bit, register 0; and register 4.
const HOST_BRIDGE: u32 = 1 << 31;

fn prepare_pci(_machine: &mut Machine) -> Result<(), Obstacle> {
    PCI_ADDRESS.write32(HOST_BRIDGE);
    if PCI_ADDRESS.read32() != HOST_BRIDGE {
        return Err(Obstacle::Skip("no PCI host bridge"));
    }
    match PCI_DATA.read32() {
        u32::MAX => Err(Obstacle::Fail("the PCI host bridge has no identity")),
        _ => Ok(()),
    }
}

fn inl_from_user(_machine: &Machine) -> bool {
    PCI_ADDRESS.read32();
    true
}

fn outb_plain(_machine: &Machine) -> bool {
    POST.write8(0);
    true
}

/// Selects register D of the clock and keeps the bit that masks NMIs clear.
fn outb_0x70(_machine: &Machine) -> bool {
    RTC_INDEX.write8(0x0d);
    true
}

/// The identity of the host bridge, which is read-only.
fn outl_plain(_machine: &Machine) -> bool {
    PCI_DATA.write32(0);
    true
}

fn outl_0xcf8(_machine: &Machine) -> bool {
    PCI_ADDRESS.write32(HOST_BRIDGE);
    true
}

fn prepare_mmio(machine: &mut Machine) -> Result<(), Obstacle> {
    machine
        .user
        .map(|_| ())
        .ok_or(Obstacle::Skip("no HPET, give mmio-addr="))
}

fn mmio_read_user(machine: &Machine) -> bool {
    if let Some(register) = machine.user {
        register.read();
    }
    true
}

fn mmio_write_user(machine: &Machine) -> bool {
    if let Some(register) = machine.user {
        register.write(0);
    }
    true
}

fn prepare_coalesced(machine: &mut Machine) -> Result<(), Obstacle> {
    machine
        .coalesced
        .map(|_| ())
        .ok_or(Obstacle::Skip("give coalesced-mmio="))
}

fn mmio_write_coalesced(machine: &Machine) -> bool {
    if let Some(register) = machine.coalesced {
        register.write(0);
    }
    true
}

/// Ends an interrupt that is not there, which has no effect but the exit.
fn eoi(machine: &Machine) -> bool {
    machine.apic.end();
    true
}

fn prepare_ipi(machine: &mut Machine) -> Result<(), Obstacle> {
    machine.need_second()
}

fn ipi(machine: &Machine) -> bool {
    let Some(target) = machine.second else {
        return false;
    };
    machine
        .patience
        .interrupt_after(|| machine.apic.send(target))
}

fn prepare_self_ipi(_machine: &mut Machine) -> Result<(), Obstacle> {
    take_interrupts();
    Ok(())
}

fn self_ipi(machine: &Machine) -> bool {
    machine
        .patience
        .interrupt_after(|| machine.apic.send_self())
}

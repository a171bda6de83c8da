// SPDX-License-Identifier: GPL-2.0

//! What the tests find on this machine.

use super::apic::{Apic, ApicId, VECTOR};
use super::cpu::{cpuid, rdmsr, Hypercall, Msr};
use super::mmio::Register;
use super::port::PIC_MASKS;
use super::{clock, processors};
use crate::bench::Obstacle;
use crate::irq;
use crate::once::Once;
use crate::wait::{take_interrupts, Patience};
use micro_bench_model::args::Args;
use micro_bench_model::output;
use micro_bench_model::time::Frequency;

static APIC: Once<Apic> = Once::new();
/// The second processor, once it takes interrupts.
static SECOND: Once<ApicId> = Once::new();

/// The event timer (HPET), which user space emulates: its identification register.
const HPET: u64 = 0xfed0_0000;
const VENDOR_INTEL: u32 = 0x8086;

/// The machine.
pub struct Machine {
    clock: Frequency,
    /// How long an interrupt is waited for.
    pub patience: Patience,
    /// The interrupt controller of this processor.
    pub apic: Apic,
    /// Content of its base register.
    pub apic_base: u64,
    /// How a hypervisor is called, where one answers.
    pub hypercall: Option<Hypercall>,
    /// A register that user space emulates.
    pub user: Option<Register>,
    /// A register whose writes are collected for user space.
    pub coalesced: Option<Register>,
    /// The second processor.
    pub second: Option<ApicId>,
    processors: u64,
}

impl Machine {
    /// By the arguments and what is found.
    pub fn detect(args: &Args<'_>) -> Result<Self, &'static str> {
        for mask in PIC_MASKS {
            mask.write8(0xff);
        }
        let apic = Apic::find().ok_or("the local APIC is not in its memory-mapped mode")?;
        apic.enable();
        APIC.set(apic);
        irq::expect(u32::from(VECTOR));
        let clock = match args.tsc_hz {
            Some(hz) => Frequency::new(hz),
            None => clock::find(),
        }
        .ok_or("the rate of the time-stamp counter is unknown, give tsc-hz=")?;
        Ok(Self {
            clock,
            patience: Patience::new(args, clock),
            apic,
            apic_base: rdmsr(Msr::ApicBase),
            hypercall: hypercall(),
            user: match args.mmio_addr {
                Some(address) => Some(chosen(address)?),
                None => hpet(),
            },
            coalesced: args.coalesced_mmio.map(chosen).transpose()?,
            second: None,
            processors: args.cpus.unwrap_or_else(processors::count),
        })
    }

    /// Rate of [`super::counter`].
    pub fn clock(&self) -> Frequency {
        self.clock
    }

    /// For the output.
    pub fn description(&self) -> output::Machine<'static> {
        output::Machine {
            arch: super::NAME,
            controller: "xAPIC",
            level: match &signature() {
                KVM => "KVM",
                TCG => "TCG",
                _ => "unknown",
            },
        }
    }

    /// Starts the second processor, once.
    pub fn need_second(&mut self) -> Result<(), Obstacle> {
        if self.processors < 2 {
            return Err(Obstacle::Skip("needs a second processor"));
        }
        if self.second.is_none() {
            processors::start(&self.apic, self.clock);
            if !self.patience.wait(|| SECOND.get().is_some()) {
                return Err(Obstacle::Fail("the second processor does not start"));
            }
            self.second = SECOND.get().copied();
        }
        Ok(())
    }
}

const KVM: &[u8; 12] = b"KVMKVMKVM\0\0\0";
const TCG: &[u8; 12] = b"TCGTCGTCGTCG";

/// Who says to be the hypervisor.
fn signature() -> [u8; 12] {
    const HYPERVISOR: u32 = 1 << 31;
    let mut signature = [0; 12];
    if cpuid(1).ecx & HYPERVISOR != 0 {
        let leaf = cpuid(0x4000_0000);
        for (bytes, register) in signature
            .chunks_exact_mut(4)
            .zip([leaf.ebx, leaf.ecx, leaf.edx])
        {
            bytes.copy_from_slice(&register.to_le_bytes());
        }
    }
    signature
}

fn hypercall() -> Option<Hypercall> {
    const AMD: u32 = u32::from_le_bytes(*b"Auth");
    const HYGON: u32 = u32::from_le_bytes(*b"Hygo");
    if signature() != *KVM {
        return None;
    }
    Some(match cpuid(0).ebx {
        AMD | HYGON => Hypercall::Vmmcall,
        _ => Hypercall::Vmcall,
    })
}

fn chosen(address: u64) -> Result<Register, &'static str> {
    if address >= 1 << 32 {
        return Err("only addresses below 4 GiB can be measured");
    }
    // SAFETY: the user has chosen it for being accessed.
    Ok(unsafe { Register::new(address) })
}

/// The event timer, if it is there.
fn hpet() -> Option<Register> {
    // SAFETY: nothing else is at this address of a PC.
    let register = unsafe { Register::new(HPET) };
    (register.read() >> 16 == VENDOR_INTEL).then_some(register)
}

/// In the handler: done with the interrupt.
pub fn end_of_interrupt() {
    if let Some(apic) = APIC.get() {
        apic.end();
    }
}

/// On the second processor: takes interrupts from now on.
pub fn enter_second() {
    if let Some(apic) = APIC.get() {
        apic.enable();
        take_interrupts();
        SECOND.set(apic.id());
    }
}

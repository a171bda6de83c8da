// SPDX-License-Identifier: GPL-2.0

//! What the tests find on this machine.

use super::cpu::{self, read_sysreg};
use super::gic::{self, Gic, Target, GIC, V2, V3};
use super::its::Its;
use super::mmio::Mmio;
use super::psci::{self, Conduit};
use super::tree::Tree;
use super::{boot, cases};
use crate::bench::Obstacle;
use crate::once::Once;
use crate::wait::{take_interrupts, Patience};
use core::sync::atomic::{AtomicBool, Ordering};
use micro_bench_model::args::Args;
use micro_bench_model::output;
use micro_bench_model::time::Frequency;

static GIC_V2: Once<V2> = Once::new();
static GIC_V3: Once<V3> = Once::new();
/// The second processor, once it takes interrupts, or why it cannot.
static SECOND: Once<Result<Target, &'static str>> = Once::new();
/// Whether the second processor is done and switches itself off.
static PARKED: AtomicBool = AtomicBool::new(false);

/// The machine.
pub struct Machine {
    clock: Frequency,
    /// How long an interrupt is waited for.
    pub patience: Patience,
    /// How the hypervisor is called.
    pub conduit: Option<Conduit>,
    /// The interrupt controller.
    pub gic: Option<&'static (dyn Gic + Sync)>,
    /// The interrupt controller again, where it is a GICv3.
    pub v3: Option<&'static V3>,
    /// Registers of its distributor.
    pub distributor: Option<Mmio>,
    /// Registers of the interrupt translation service.
    pub its_registers: Option<Mmio>,
    /// The same, once it is set up.
    pub its: Option<Its>,
    /// Interrupt of the timer.
    pub timer: Option<u32>,
    /// A register that user space emulates.
    pub user: Option<Mmio>,
    /// What it must read as, if that is known.
    pub user_magic: Option<Mmio>,
    /// The second processor.
    pub second: Option<Target>,
    other: Option<cpu::Mpidr>,
}

impl Machine {
    /// By the devicetree and the arguments.
    pub fn detect(tree: &Tree, args: &Args<'_>) -> Result<Self, &'static str> {
        // SAFETY: the read has no effect.
        let frequency: u64 = unsafe { read_sysreg!("cntfrq_el0") };
        let clock = Frequency::new(frequency).ok_or("the timer has no frequency")?;
        let mut machine = Self {
            clock,
            patience: Patience::new(args, clock),
            conduit: tree.conduit(),
            gic: None,
            v3: None,
            distributor: None,
            its_registers: None,
            its: None,
            timer: tree.timer(),
            user: None,
            user_magic: None,
            second: None,
            other: tree.other_processor(),
        };
        match args.mmio_addr {
            // SAFETY: the user has chosen it for being read.
            Some(address) => machine.user = Some(unsafe { Mmio::new(address) }),
            None => {
                machine.user_magic = tree.virtio();
                machine.user = machine
                    .user_magic
                    .map(|transport| transport.at(cases::VIRTIO_DEVICE_ID));
            }
        }
        machine.find_gic(tree)?;
        Ok(machine)
    }

    fn find_gic(&mut self, tree: &Tree) -> Result<(), &'static str> {
        let found: Option<&'static (dyn Gic + Sync)> = if let Some(v3) = tree.gic_v3() {
            self.v3 = GIC_V3.set(v3);
            self.its_registers = tree.its();
            self.v3.map(|v3| v3 as _)
        } else if let Some(v2) = tree.gic_v2() {
            GIC_V2.set(v2).map(|v2| v2 as _)
        } else {
            None
        };
        if let Some(gic) = found.and_then(gic::install) {
            gic.enable();
            gic.enable_processor()?;
            self.distributor = Some(gic.distributor());
            self.gic = Some(gic);
        }
        Ok(())
    }

    /// Rate of [`super::counter`].
    pub fn clock(&self) -> Frequency {
        self.clock
    }

    /// For the output.
    pub fn description(&self) -> output::Machine<'static> {
        output::Machine {
            arch: super::NAME,
            controller: self.gic.map_or("none", |gic| gic.name()),
            level: if cpu::is_el2() { "EL2" } else { "EL1" },
        }
    }

    /// The interrupt controller, or that it is missing.
    pub fn need_gic(&self) -> Result<&'static (dyn Gic + Sync), Obstacle> {
        self.gic.ok_or(Obstacle::Skip("no supported GIC"))
    }

    /// Starts the second processor, once.
    pub fn need_second(&mut self) -> Result<Target, Obstacle> {
        self.need_gic()?;
        let other = self
            .other
            .ok_or(Obstacle::Skip("needs a second processor"))?;
        if self.second.is_none() {
            // SAFETY: code for further processors is there.
            if unsafe { psci::cpu_on(other, boot::secondary_address()) } != 0 {
                return Err(Obstacle::Fail("the second processor cannot be switched on"));
            }
            if !self.patience.wait(|| SECOND.get().is_some()) {
                return Err(Obstacle::Fail("the second processor does not start"));
            }
            match SECOND.get() {
                Some(Ok(target)) => self.second = Some(*target),
                Some(Err(reason)) => return Err(Obstacle::Fail(reason)),
                None => (),
            }
        }
        self.second
            .ok_or(Obstacle::Fail("the second processor did not start"))
    }

    /// Has the second processor switch itself off for good, so that it does not share the time of a
    /// test that does not use it.
    pub fn park_second(&self) {
        PARKED.store(true, Ordering::Release);
    }
}

/// On the second processor: takes interrupts until it is parked.
pub fn enter_second() -> ! {
    if let Some(gic) = GIC.get() {
        let ready = gic.enable_processor().map(|()| gic.this_processor());
        take_interrupts();
        SECOND.set(ready);
    }
    while !PARKED.load(Ordering::Acquire) {
        cpu::relax();
    }
    psci::cpu_off()
}

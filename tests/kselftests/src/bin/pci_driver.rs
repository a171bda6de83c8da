// SPDX-License-Identifier: GPL-2.0

//! A PCI driver in safe code (`tests/modules/pci_rust.rs`) that asks for what it cannot have, and
//! keeps vectors for longer than it is bound.

use anyhow::ensure;
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{expect_console, Plan, Result};
use siov_kselftests::pci::{Function, VIRTIO_RNG};
use siov_kselftests::{kernel_module, ktap, stats, sysfs};
use std::process::ExitCode;

const MODULE: &str = "pci_rust";

struct Context {
    rng: Function,
    log: KernelLog,
}

fn setup() -> Result<Context> {
    let rng = Function::first(VIRTIO_RNG)?;
    // The kernel's own driver may be part of it.
    if rng.driver().is_some() {
        rng.unbind()?;
    }
    Ok(Context {
        rng,
        log: KernelLog::from_now()?,
    })
}

impl Context {
    fn is_clean(&mut self) -> Result {
        let wrong = self.log.count(&["pci_rust: wrong"])?;
        ensure!(wrong == 0, "{wrong} lines in the log say what is wrong");
        ensure!(self.rng.driver().is_none(), "the driver is bound");
        ensure!(stats::interrupts(MODULE).is_err(), "an interrupt is left");
        let claimed = sysfs::read("/proc/iomem")?.contains(MODULE);
        ensure!(!claimed, "registers are still claimed");
        Ok(())
    }
}

fn demands(c: &mut Context) -> Result {
    // Of a register that is none, once.
    expect_console("WARNING: .*rust/linux/mmio.rs");
    kernel_module::load(MODULE, "")?;
    c.log.wait_for(&["has what it can have"])?;
    ensure!(c.rng.driver().as_deref() == Some(MODULE), "it is not bound");
    Ok(())
}

fn again(c: &mut Context) -> Result {
    let before = c.log.count(&["has what it can have"])?;
    c.rng.unbind()?;
    c.is_clean()?;
    c.rng.bind(MODULE)?;
    let bound = c.log.count(&["has what it can have"])? - before;
    ensure!(bound == 1, "it was bound {bound} times");
    Ok(())
}

fn ended(c: &mut Context) -> Result {
    kernel_module::unload(MODULE)?;
    c.log.wait_for(&["pci_rust: has nothing any more"])?;
    c.is_clean()
}

fn main() -> ExitCode {
    ktap::run(setup, |context| {
        Plan::new(context)
            .case("it gets what it can have, and nothing else", demands)
            .case(
                "all of that ends with the binding, and can be had again",
                again,
            )
            .case("what it has kept is of no use after that", ended)
            .run()
    })
}

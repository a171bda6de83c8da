// SPDX-License-Identifier: GPL-2.0

//! arm64: any virtual machine with the boot protocol of Linux, a devicetree and PSCI.

mod boot;
mod cases;
mod cpu;
mod exception;
mod gic;
mod its;
mod machine;
mod mmio;
mod psci;
mod tree;
mod uart;

pub use cases::CASES;
pub use cpu::{barrier, counter, relax, unmask_interrupts};
pub use machine::Machine;
pub use psci::power_off;
pub use uart::Uart;

/// Name of the instruction set.
pub const NAME: &str = "aarch64";

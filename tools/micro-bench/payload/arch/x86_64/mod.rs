// SPDX-License-Identifier: GPL-2.0

//! x86: any virtual machine that starts kernels by PVH, without firmware tables.

mod apic;
mod boot;
mod cases;
mod clock;
mod cpu;
mod exception;
mod machine;
mod mmio;
mod port;
mod processors;
mod uart;

pub use cases::CASES;
pub use cpu::{barrier, counter, relax, unmask_interrupts};
pub use machine::Machine;
pub use port::power_off;
pub use uart::Uart;

/// Name of the instruction set.
pub const NAME: &str = "x86_64";

// SPDX-License-Identifier: GPL-2.0

//! The processor and the machine: what micro-bench has for them, and what it would have too much
//! of.

#[path = "../../micro-bench/payload/arch/x86_64/apic.rs"]
#[allow(dead_code, reason = "there is one processor here")]
pub mod apic;
#[path = "../../micro-bench/payload/arch/x86_64/boot.rs"]
#[allow(dead_code, reason = "there is one processor here")]
mod boot;
#[path = "../../micro-bench/payload/arch/x86_64/cpu.rs"]
#[allow(dead_code, reason = "nothing is measured here")]
pub mod cpu;
#[path = "../../micro-bench/payload/arch/x86_64/exception.rs"]
mod exception;
pub mod machine;
#[path = "../../micro-bench/payload/arch/x86_64/mmio.rs"]
pub mod mmio;
#[path = "../../micro-bench/payload/arch/x86_64/port.rs"]
#[allow(dead_code, reason = "few ports are used here")]
pub mod port;
#[path = "../../micro-bench/payload/arch/x86_64/uart.rs"]
mod uart;

pub use uart::Uart;

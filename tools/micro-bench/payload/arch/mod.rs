// SPDX-License-Identifier: GPL-2.0

//! The two instruction sets. Each offers the same names:
//!
//! * [`NAME`], [`CASES`] and [`Machine`]: what can be measured here;
//! * [`barrier`] and [`counter`]: the clock;
//! * [`relax`] and [`unmask_interrupts`]: what waiting for an interrupt takes;
//! * [`Uart`] and [`power_off`].

#[cfg(target_arch = "aarch64")]
#[path = "aarch64/mod.rs"]
mod imp;
#[cfg(target_arch = "x86_64")]
#[path = "x86_64/mod.rs"]
mod imp;

pub use imp::{barrier, counter, power_off, relax, unmask_interrupts, Machine, Uart, CASES, NAME};

// SPDX-License-Identifier: GPL-2.0

//! The host's side of micro-bench: starting the payload in QEMU, and reading what it prints.

#![forbid(unsafe_code)]

pub mod compare;
pub mod figures;
pub mod qemu;

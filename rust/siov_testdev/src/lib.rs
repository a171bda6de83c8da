// SPDX-License-Identifier: GPL-2.0

//! What the emulated device siov-testdev and its drivers agree on: identifiers, register offsets,
//! descriptors and completion records.
//!
//! The specification is `Documentation/siov-testdev.rst`; section numbers refer to it. All
//! registers and structures are little-endian.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

#[cfg(test)]
extern crate std;

mod bytes;
pub mod completion;
pub mod descriptor;
pub mod execute;
pub mod fault;
pub mod fault_region;
pub mod global;
pub mod pci;
pub mod privileged;
pub mod user;

pub use completion::{Completion, CompletionStatus};
pub use descriptor::{Descriptor, DescriptorFlags, Invalid, Opcode};
pub use fault::{FaultReason, FaultSource, FaultStatus};

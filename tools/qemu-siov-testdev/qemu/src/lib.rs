// SPDX-License-Identifier: GPL-2.0

//! PCI devices in safe Rust for a stock QEMU binary.
//!
//! QEMU has no interface for devices from outside, but Debian's binary exports its functions,
//! because QEMU's own modules need them. [`Qemu::find`] looks up every function by name, finds out
//! where in QEMU's structures the few fields lie that are needed, checks what it found, and refuses
//! with a sentence when anything is not as expected. [`register`] then adds a [`Device`] to QEMU's
//! types.
//!
//! Bottom up: `ffi` declares the structures that are compiled in, `symbols` the functions; `layout`
//! finds and checks the rest; `call`, `class` and `instance` are what QEMU calls; [`Host`] is how a
//! device reaches the machine. A device itself is safe code.
//!
//! # Safety
//!
//! QEMU's functions have the types of their prototypes, and are called in the method of a type that
//! proves what they demand. References to the types of `ffi` are promises: that there is such an
//! object, and that the big lock is held. What QEMU calls has the types of C as well; it borrows
//! what it was passed from the call (`call`), and calls safe functions with such parameters, which
//! cannot keep them.
//!
//! # Locking
//!
//! QEMU calls devices with its big lock (BQL) held: register accesses, bottom halves, timers, reset
//! and plugging alike. So everything of a device is used by one thread at a time, and the cells in
//! here guard against re-entry only: a device whose DMA hits its own registers.

mod ats;
mod call;
mod class;
mod config;
mod device;
mod dma;
mod error;
mod ffi;
mod host;
mod instance;
mod layout;
mod libc;
mod migration;
mod object_ref;
mod pci;
pub mod preload;
mod property;
mod qemu;
mod region;
mod symbols;
mod unit;
mod waker;

pub use ats::{Invalidation, Translation};
pub use class::register;
pub use device::{Bar, Device, Function, Identity, Msix};
pub use dma::DmaError;
pub use error::Error;
pub use host::{Enabled, Host};
pub use layout::Refusal;
pub use property::{Property, Value};
pub use qemu::{Qemu, Setup};

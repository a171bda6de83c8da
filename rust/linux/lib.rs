// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over the kernel's C interfaces, for what the `kernel` crate does not have.

pub mod acpi;
#[doc(hidden)]
pub mod bindings;
pub mod callback;
pub mod count;
pub mod device;
pub mod error;
pub mod ffi;
pub mod firmware;
pub mod instance;
pub mod iommu;
pub mod irq;
mod mm;
pub mod mmio;
pub mod module;
pub mod numa;
pub mod object;
pub mod param;
pub mod pci;
pub mod poll;
pub mod ratelimit;
mod show;
pub mod symbol;
pub mod sync;
pub mod syscore;
pub mod sysfs;
pub mod unload;
pub mod vec;
pub mod work;

pub use show::Show;

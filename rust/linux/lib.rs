// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over the kernel's C interfaces, for what the `kernel` crate does not have.

mod bindings;
pub mod error;
pub mod iommu;
pub mod mm;
pub mod mmio;
pub mod pci;

// SPDX-License-Identifier: GPL-2.0

//! Auxiliary domains: several IOMMU domains for one device, told apart by PASID.
//!
//! Sits on the IOMMU core's PASID attachments, so it works over every IOMMU driver that has them.
//!
//! - [`api`] is what C calls (`include/linux/iommu-aux.h`); Rust drivers use the crate `linux_aux`;
//! - [`registry`] knows which device is enabled, which domain is attached where, and the domain's PASID;
//! - [`faults`] passes on what the IOMMU blocked.
//!
//! Locks, outermost first: `registry::REGISTRY`, then `Faults::handlers`, then the IOMMU core's;
//! `Dispatcher::pending` is a spinlock that is taken in interrupt context.

use kernel::prelude::*;

mod api;
mod faults;
mod registry;

module! {
    type: Module,
    name: "iommu_aux",
    authors: ["siov-rs developers"],
    description: "Auxiliary IOMMU domains",
    license: "GPL",
}

struct Module;

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        registry::start()?;
        Ok(Self)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // Nobody calls us any more: all who do depend on this module.
        registry::stop();
    }
}

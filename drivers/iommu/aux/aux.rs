// SPDX-License-Identifier: GPL-2.0

//! Auxiliary domains: several IOMMU domains for one device, distinguished by PASID.
//!
//! Sits on the IOMMU core's PASID attachments, so it works over every IOMMU driver that has them.
//! The module is the adapter between two C interfaces, so most of it is in `sys`:
//!
//! - `sys/exports.rs` has the functions of `include/linux/iommu-aux.h`; Rust drivers use the crate
//!   `linux_aux`;
//! - `sys/registry.rs` knows which device is enabled, which domain is attached where, and the
//!   domain's PASID;
//! - `sys/faults.rs` passes blocked requests on to the handlers that are registered for a domain.
//!
//! Locks, outermost first: `REGISTRY`, then `Faults::handlers`, then the IOMMU core's;
//! `Faults::pending` is a spinlock that is taken in interrupt context.

#![deny(unsafe_code)]

use kernel::prelude::*;

#[allow(unsafe_code)]
mod sys;

module! {
    type: sys::Module,
    name: "iommu_aux",
    authors: ["siov-rs developers"],
    description: "Auxiliary IOMMU domains",
    license: "GPL",
}

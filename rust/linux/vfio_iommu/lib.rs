// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions for a driver of VFIO containers: pinned memory of processes, address spaces of
//! devices made of it, groups, and the registration with VFIO.
//!
//! What holds everything together is [`Space`]: page frames that its IOMMU domains translate to are
//! pinned, and are unpinned only after every domain has forgotten them.
//!
//! Apart from the crate `linux` because it needs symbols of vfio.ko.

pub mod access;
mod account;
mod c;
pub mod container;
pub mod device;
pub mod domain;
pub mod endpoint;
pub mod group;
mod layout;
pub mod mapping;
pub mod open;
pub mod params;
mod parent;
mod pin;
pub mod reserved;
pub mod space;
mod table;

pub use mapping::{Access, Mapping};
pub use space::{Failure, MapOptions, Space};

// SPDX-License-Identifier: GPL-2.0

//! Groups of devices that the IOMMU cannot tell apart, and the domains that they are attached to.

mod attach;
mod detach;
pub(crate) mod domain;
pub(crate) mod endpoint;
mod parent;

use kernel::sync::aref::ARef;

/// A counted reference to a group. Equal references are to the same group.
pub(crate) type Group = ARef<linux::iommu::Group>;

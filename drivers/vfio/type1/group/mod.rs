// SPDX-License-Identifier: GPL-2.0

//! Groups of devices that the IOMMU cannot distinguish, which join a container and leave it.

mod attach;
mod classify;
mod detach;

use kernel::sync::aref::ARef;

/// A counted reference to a group. Equal references are to the same group.
pub(crate) type Group = ARef<linux::iommu::Group>;

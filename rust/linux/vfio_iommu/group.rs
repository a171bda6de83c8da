// SPDX-License-Identifier: GPL-2.0

//! Groups of devices that the IOMMU cannot tell apart.

use kernel::sync::aref::ARef;

/// A counted reference to a group. Equal references are to the same group.
pub type Group = ARef<linux::iommu::Group>;

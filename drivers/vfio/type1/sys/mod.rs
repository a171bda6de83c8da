// SPDX-License-Identifier: GPL-2.0

//! What the driver does with C: pinned memory, IOMMU domains, and its registration with VFIO.

pub(crate) mod access;
pub(crate) mod account;
pub(crate) mod c;
pub(crate) mod device;
pub(crate) mod handle;
mod layout;
pub(crate) mod ops;
pub(crate) mod params;
pub(crate) mod pin;
pub(crate) mod reserved;
pub(crate) mod table;

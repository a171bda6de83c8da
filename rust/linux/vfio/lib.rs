// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over VFIO, for modules that depend on `vfio.ko`.
//!
//! C header: [`include/linux/vfio.h`](srctree/include/linux/vfio.h)

pub mod device;
mod device_access;
mod device_ioctl;
mod device_region;
pub mod eventfd;
mod pins;

// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over VFIO, for modules that depend on `vfio.ko`.
//!
//! A driver implements [`device::Device`], and offers one to user space by
//! [`device::register_emulated`].
//!
//! Locks, outermost first: VFIO's (group, set of devices), the driver's, [`pins::Pins`]' own, those
//! of the container. VFIO announces that memory is being unmapped while the container holds a lock
//! that pinning does not take.
//!
//! C header: [`include/linux/vfio.h`](srctree/include/linux/vfio.h)

pub mod device;
mod device_access;
mod device_ioctl;
mod device_region;
pub mod eventfd;
mod open;
mod pins;
mod registration;

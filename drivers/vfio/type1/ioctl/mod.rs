// SPDX-License-Identifier: GPL-2.0

//! The requests of user space, and those of drivers of emulated devices.

mod dirty;
mod external;
mod info;
mod map;
mod unmap;

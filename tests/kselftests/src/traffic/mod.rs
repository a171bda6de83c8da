// SPDX-License-Identifier: GPL-2.0

//! Data through real drivers: out to a device and back, every byte checked.

pub mod disk;
pub mod net;

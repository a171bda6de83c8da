// SPDX-License-Identifier: GPL-2.0

//! The device siov-testdev for a stock QEMU: `-plugin libsiov_testdev.so -device siov-testdev`.
//!
//! `model` is the device, `qemu` is QEMU; here the two meet. `Documentation/siov-testdev.rst` tells
//! how to use it, and what a driver sees.

mod device;
mod plugin;

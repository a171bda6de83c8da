// SPDX-License-Identifier: GPL-2.0

//! why: The bus is unregistered with the module, not while devices are on it.
//! against: drivers/vfio/mdev/mdev.rs
//! error: E0451
//! error: type `Bus` is private

#![forbid(unsafe_code)]

use crate::sys::Module;

/// Ends the core.
pub(crate) fn end(module: Module) {
    // misuse {
    let Module { _bus: bus } = module;
    drop(bus);
    // } else {
    core::mem::forget(module);
    // }
}

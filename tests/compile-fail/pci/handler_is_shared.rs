// SPDX-License-Identifier: GPL-2.0

//! why: An interrupt comes while its device is in use, so its handler has to be `Sync`.
//! against: linux
//! error: E0277 cannot be shared between threads safely

#![forbid(unsafe_code)]

use linux::pci::driver::Handler;

/// A handler.
pub struct Count(
    // misuse {
    core::cell::Cell<u32>,
    // } else {
    core::sync::atomic::AtomicU32,
    // }
);

impl Handler for Count {
    fn handle(&self) {
        let _ = &self.0;
    }
}

// SPDX-License-Identifier: GPL-2.0

//! why: A component is called on any processor, so it has to be `Sync`.
//! against: linux
//! error: E0277 cannot be shared between threads safely

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux::syscore::SystemCore;

/// A component.
pub struct Component(
    // misuse {
    core::cell::Cell<u32>,
    // } else {
    core::sync::atomic::AtomicU32,
    // }
);

impl SystemCore for Component {
    fn suspend(&self) -> Result {
        let _ = &self.0;
        Ok(())
    }

    fn resume(&self) {}

    fn shutdown(&self) {}
}

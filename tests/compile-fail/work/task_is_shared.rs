// SPDX-License-Identifier: GPL-2.0

//! why: A task runs in another thread, so it has to be `Sync`.
//! against: linux
//! error: E0277 cannot be shared between threads safely

#![forbid(unsafe_code)]

use core::pin::Pin;
use kernel::prelude::*;
use linux::work::{Deferred, Task};

/// A task.
pub struct Count(
    // misuse {
    core::cell::Cell<u32>,
    // } else {
    core::sync::atomic::AtomicU32,
    // }
);

impl Task for Count {
    fn run(&self) {
        let _ = &self.0;
    }
}

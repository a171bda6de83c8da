// SPDX-License-Identifier: GPL-2.0

//! why: C lists hold the addresses of work items, so they do not leave their box.
//! against: linux
//! error: E0277 cannot be unpinned

#![forbid(unsafe_code)]

use core::pin::Pin;
use kernel::prelude::*;
use linux::work::{Deferred, Task};

/// A task.
pub struct Count(u32);

impl Task for Count {
    fn run(&self) {}
}

/// Takes it out.
pub fn take(deferred: Pin<KBox<Deferred<Count>>>) {
    // misuse {
    let deferred = Pin::into_inner(deferred);
    // }
    drop(deferred);
}

// SPDX-License-Identifier: GPL-2.0

//! why: C lists hold the addresses of work items, so they do not move.
//! against: linux
//! error: E0596

#![forbid(unsafe_code)]

use core::pin::Pin;
use kernel::prelude::*;
use linux::work::{Deferred, Task};

/// A task.
pub struct Count(u32);

impl Task for Count {
    fn run(&self) {}
}

/// Two of them.
pub fn swap(a: &mut Pin<KBox<Deferred<Count>>>, b: &mut Pin<KBox<Deferred<Count>>>) {
    // misuse {
    core::mem::swap(&mut **a, &mut **b);
    // } else {
    core::mem::swap(a, b);
    // }
}

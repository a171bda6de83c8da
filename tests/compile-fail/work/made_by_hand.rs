// SPDX-License-Identifier: GPL-2.0

//! why: A work item is initialised in the place where it stays.
//! against: linux
//! error: E0451

#![forbid(unsafe_code)]

use kernel::prelude::*;
use kernel::types::Opaque;
use linux::module::{InUse, Kind};
use linux::work::{Deferred, Task};

/// A task.
pub struct Count(u32);

impl Task for Count {
    fn run(&self) {}
}

/// Drops one.
pub fn drop_one(deferred: Pin<KBox<Deferred<Count>>>) {
    // misuse {
    let deferred = Deferred {
        task: Count(0),
        work: Opaque::uninit(),
        _in_use: InUse::new(Kind::Work),
    };
    // }
    drop(deferred);
}

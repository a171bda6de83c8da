// SPDX-License-Identifier: GPL-2.0

//! why: That an instance stays where it is, is a promise that safe code cannot make.
//! against: linux
//! error: E0133

#![forbid(unsafe_code)]

use kernel::prelude::*;
use linux::instance::Instance;

static INSTANCE: Instance<u64> = Instance::new();

/// Publishes what does not stay.
pub fn publish() -> Option<u64> {
    let value = 1;
    // misuse {
    core::mem::forget(INSTANCE.publish(&value));
    // }
    let _ = &value;
    INSTANCE.with(|value| *value)
}

// SPDX-License-Identifier: GPL-2.0

//! why: A lock lets all threads at its value, one after the other, so the value has to be `Send`.
//! against: linux
//! error: E0277 cannot be sent between threads safely

#![forbid(unsafe_code)]

use core::pin::Pin;
use kernel::prelude::*;
use linux::sync::RawSpinLock;

fn share<T: Sync>(_: &T) {}

/// Shares a lock.
pub fn shared(lock: &RawSpinLock<u64>, rc: &RawSpinLock<*mut u64>) {
    share(lock);
    // misuse {
    share(rc);
    // }
    let _ = rc;
}

// SPDX-License-Identifier: GPL-2.0

//! why: A guard releases its lock, so the lock outlives it.
//! against: linux
//! error: E0505

#![forbid(unsafe_code)]

use core::pin::Pin;
use kernel::prelude::*;
use linux::sync::RawSpinLock;

/// Drops the lock first.
pub fn release(lock: Pin<KBox<RawSpinLock<u64>>>) {
    let guard = lock.lock();
    // misuse {
    drop(lock);
    // }
    drop(guard);
}

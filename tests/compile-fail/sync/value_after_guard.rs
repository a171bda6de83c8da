// SPDX-License-Identifier: GPL-2.0

//! why: What a lock guards is reachable while it is held.
//! against: linux
//! error: E0505

#![forbid(unsafe_code)]

use core::pin::Pin;
use kernel::prelude::*;
use linux::sync::RawSpinLock;

/// Reads the value.
pub fn read(lock: &RawSpinLock<u64>) -> u64 {
    let guard = lock.lock();
    let value: &u64 = &guard;
    // misuse {
    drop(guard);
    // }
    *value
}

// SPDX-License-Identifier: GPL-2.0

//! why: A raw spinlock is released on the CPU where it was taken: interrupts are off there.
//! against: linux
//! error: E0277 cannot be sent between threads safely

#![forbid(unsafe_code)]

use core::pin::Pin;
use kernel::prelude::*;
use linux::sync::RawSpinLock;

fn send<T: Send>(value: T) {
    drop(value);
}

/// Releases it elsewhere.
pub fn elsewhere(lock: &RawSpinLock<u64>) {
    // misuse {
    send(lock.lock());
    // } else {
    send(*lock.lock());
    // }
}

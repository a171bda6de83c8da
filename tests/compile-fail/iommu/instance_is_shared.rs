// SPDX-License-Identifier: GPL-2.0

//! why: An instance is found by all threads, so it has to be `Sync`.
//! against: linux
//! error: E0277 cannot be shared between threads safely

#![forbid(unsafe_code)]

use core::cell::Cell;
use core::sync::atomic::AtomicU64;
use linux::instance::Instance;

// misuse {
static INSTANCE: Instance<Cell<u64>> = Instance::new();
// } else {
static INSTANCE: Instance<AtomicU64> = Instance::new();
// }

/// Looks at it.
pub fn look() -> bool {
    INSTANCE.with(|_| ()).is_some()
}

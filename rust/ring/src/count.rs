// SPDX-License-Identifier: GPL-2.0

//! Counters with one writer at a time, readable by anybody at any time.

use crate::atomic::{AtomicU32, AtomicU64, Ordering};

/// Counts up from 0, and wraps after 2^64 - 1. Callers of [`Count::add`] exclude each other, which
/// saves a locked instruction.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.get().wrapping_add(n), Ordering::Relaxed);
    }

    /// The count.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Keeps the highest value, at first 0. Callers of [`Peak::raise`] exclude each other.
#[derive(Debug, Default)]
pub struct Peak(AtomicU32);

impl Peak {
    /// Takes `value` into account.
    #[inline]
    pub fn raise(&self, value: u32) {
        if value > self.get() {
            self.0.store(value, Ordering::Relaxed);
        }
    }

    /// The highest value so far.
    #[inline]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Counts of things that are added and removed.

use core::sync::atomic::{AtomicBool, Ordering};

/// How many there are of something. What is added is removed again, and no more than that: where it
/// is not so, the count stays at 0 or at the greatest number, with one warning since the module was
/// loaded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(transparent)]
pub struct Count(usize);

impl Count {
    /// Of nothing.
    pub const ZERO: Self = Self(0);

    /// Of `count` things.
    pub const fn new(count: usize) -> Self {
        Self(count)
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> usize {
        self.0
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// One more.
    #[inline]
    pub fn inc(&mut self) {
        self.add(1);
    }

    /// One less.
    #[inline]
    pub fn dec(&mut self) {
        self.sub(1);
    }

    /// So many more.
    #[inline]
    pub fn add(&mut self, count: usize) {
        self.0 = self.0.checked_add(count).unwrap_or_else(|| {
            unbalanced();
            usize::MAX
        });
    }

    /// So many less.
    #[inline]
    pub fn sub(&mut self, count: usize) {
        self.0 = self.0.checked_sub(count).unwrap_or_else(|| {
            unbalanced();
            0
        });
    }
}

#[cold]
fn unbalanced() {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        kernel::warn_on!(true);
    }
}

// SPDX-License-Identifier: GPL-2.0

//! A value that is set once and then read by every processor.

use core::cell::OnceCell;
use core::sync::atomic::{AtomicU8, Ordering};

const EMPTY: u8 = 0;
const BUSY: u8 = 1;
const FULL: u8 = 2;

/// Empty until [`Once::set`].
///
/// # Invariants
///
/// The value is written before `state` becomes `FULL` and never again.
pub struct Once<T> {
    state: AtomicU8,
    value: OnceCell<T>,
}

// SAFETY: other processors get at the cell only in state FULL, in which nobody writes to it, by the
// type's invariant; the value may have been made on another processor, hence `Send`.
unsafe impl<T: Send + Sync> Sync for Once<T> {}

impl<T> Once<T> {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            state: AtomicU8::new(EMPTY),
            value: OnceCell::new(),
        }
    }

    /// Sets the value if there is none yet. Returns the one that is there.
    ///
    /// Each is set by one processor only: loads and stores suffice.
    pub fn set(&self, value: T) -> Option<&T> {
        if self.state.load(Ordering::Relaxed) == EMPTY {
            self.state.store(BUSY, Ordering::Relaxed);
            let _was_empty = self.value.set(value);
            self.state.store(FULL, Ordering::Release);
        }
        self.get()
    }

    /// The value, if it was set.
    pub fn get(&self) -> Option<&T> {
        if self.state.load(Ordering::Acquire) != FULL {
            return None;
        }
        self.value.get()
    }
}

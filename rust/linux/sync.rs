// SPDX-License-Identifier: GPL-2.0

//! A spinlock that may be taken in any context, and the end of RCU's readers.

use crate::bindings;
use kernel::sync::lock::{Backend, Guard, Lock};

/// Waits until all who were in an RCU read-side critical section have left it
/// ([`kernel::sync::rcu::read_lock`]; an interrupt handler is one). May sleep.
pub fn wait_for_rcu_readers() {
    // SAFETY: May be called where one may sleep.
    unsafe { bindings::synchronize_rcu() };
}

/// A raw spinlock whose holder runs with interrupts off. Interrupts come back as they were when it
/// is released, so locks that are nested must be released in reverse order.
///
/// Made by [`new_raw_spinlock!`](crate::new_raw_spinlock).
pub type RawSpinLock<T> = Lock<T, RawSpinLockBackend>;

/// What holds a [`RawSpinLock`].
pub type RawSpinLockGuard<'a, T> = Guard<'a, T, RawSpinLockBackend>;

/// Makes a [`RawSpinLock`] with a lock class of its own.
#[macro_export]
macro_rules! new_raw_spinlock {
    ($inner:expr, $name:literal $(,)?) => {
        $crate::sync::RawSpinLock::new(
            $inner,
            ::kernel::c_str!($name),
            ::kernel::static_lock_class!(),
        )
    };
}

/// `raw_spinlock_t`, taken with `raw_spin_lock_irqsave()`.
pub struct RawSpinLockBackend;

// SAFETY: A raw spinlock excludes all others, and does not move its owner to another CPU.
unsafe impl Backend for RawSpinLockBackend {
    type State = bindings::raw_spinlock_t;
    /// The interrupt state to go back to.
    type GuardState = usize;

    unsafe fn init(
        ptr: *mut Self::State,
        name: *const kernel::ffi::c_char,
        key: *mut bindings::lock_class_key,
    ) {
        // SAFETY: As required of us.
        unsafe { bindings::siov_helper_raw_spin_lock_init(ptr, name, key) };
    }

    #[inline]
    unsafe fn lock(ptr: *mut Self::State) -> usize {
        // SAFETY: As required of us.
        unsafe { bindings::_raw_spin_lock_irqsave(ptr) }
    }

    #[inline]
    unsafe fn unlock(ptr: *mut Self::State, flags: &usize) {
        // SAFETY: As required of us; the flags are those that locking returned.
        unsafe { bindings::_raw_spin_unlock_irqrestore(ptr, *flags) };
    }

    unsafe fn try_lock(ptr: *mut Self::State) -> Option<usize> {
        let mut flags = 0;
        // SAFETY: As required of us.
        unsafe { bindings::siov_helper_raw_spin_trylock_irqsave(ptr, &raw mut flags) }
            .then_some(flags)
    }

    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // SAFETY: As required of us.
        unsafe { bindings::siov_helper_raw_spin_assert_is_held(ptr) };
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The ring of a VM, and its lock.
//!
//! Locks: [`RingLock::lock`] takes `kvm->ring_lock`, inside of which no lock is taken.

use crate::sys::vm::RawVm;
use core::marker::PhantomData;
use core::ops::Deref;
use kernel::types::NotThreadSafe;
use linux::bindings;
use linux::object::Object;
use siov_ring::Ring;
use static_assertions::const_assert_eq;

// A spinlock begins with its raw one, whose functions are no further call away.
#[cfg(not(CONFIG_PREEMPT_RT))]
use linux::bindings::{_raw_spin_lock as spin_lock, _raw_spin_unlock as spin_unlock};
#[cfg(CONFIG_PREEMPT_RT)]
use linux::bindings::{spin_lock, spin_unlock};

// The C compiler and rust/ring agree; the fields are compared in helpers_kvm.c.
const_assert_eq!(
    bindings::siov_kvm_layout_SIOV_KVM_RING_ENTRIES,
    Ring::ENTRIES
);
const_assert_eq!(Ring::BYTES, kernel::page::PAGE_SIZE);

/// Where a VM's ring and its lock are.
#[derive(Clone, Copy)]
pub(super) struct RawRing {
    ring: *const Ring,
    lock: *mut bindings::spinlock_t,
}

impl RawRing {
    pub(super) fn of(vm: &RawVm) -> Self {
        Self {
            // SAFETY: The VM exists.
            ring: unsafe { bindings::siov_helper_kvm_ring(vm.as_raw()) }
                .cast_const()
                .cast(),
            // SAFETY: The VM exists.
            lock: unsafe { bindings::siov_helper_kvm_ring_lock(vm.as_raw()) },
        }
    }

    /// # Safety
    ///
    /// For `'a`, the VM is initialised and not freed, and its ring is not locked by this task by
    /// other means than the result.
    #[inline]
    pub(super) unsafe fn unlocked<'a>(self) -> RingLock<'a> {
        // INVARIANT: As required of us.
        RingLock(self, PhantomData)
    }
}

/// The lock of a ring, which can be taken once.
///
/// # Invariants
///
/// For `'a`, ring and lock are those of a VM that is initialised and not freed.
pub(crate) struct RingLock<'a>(RawRing, PhantomData<&'a Ring>);

impl<'a> RingLock<'a> {
    /// Takes `ring_lock`: its holder is the ring's producer.
    #[inline]
    pub(crate) fn lock(self) -> RingGuard<'a> {
        // SAFETY: By the type invariants.
        unsafe { spin_lock(self.0.lock.cast()) };
        // INVARIANT: It is held.
        RingGuard(self, NotThreadSafe)
    }
}

/// The ring, while its lock is held.
///
/// # Invariants
///
/// `ring_lock` is held.
pub(crate) struct RingGuard<'a>(RingLock<'a>, NotThreadSafe);

impl Deref for RingGuard<'_> {
    type Target = Ring;

    #[inline]
    fn deref(&self) -> &Ring {
        let ring = self.0 .0.ring;
        // SAFETY: The page of a VM that is not freed. User space shares it, and may store anything
        // at any time: it consists of atomics, for which every value is valid.
        unsafe { &*ring }
    }
}

impl Drop for RingGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: It is held, by the type invariants.
        unsafe { spin_unlock(self.0 .0.lock.cast()) };
    }
}

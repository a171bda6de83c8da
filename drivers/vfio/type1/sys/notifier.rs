// SPDX-License-Identifier: GPL-2.0

//! Changes of a range of a process's address space (`struct mmu_interval_notifier`), for what was
//! found there and holds no reference.
//!
//! Whoever looks something up in the page table and wants to use it for longer than the mmap lock
//! is held takes a [`Sequence`] first, and [`Notifier::lock_unless_changed`] before the use. From
//! then on [`Revoke::revoke`] ends the use when the range changes, and the change waits for that.
//!
//! C header: `include/linux/mmu_notifier.h`

use core::marker::PhantomData;
use kernel::error::to_result;
use kernel::mm::MmWithUser;
use kernel::prelude::*;
use kernel::sync::lock::mutex::MutexBackend;
use kernel::sync::lock::Guard;
use kernel::sync::{new_mutex, Mutex};
use kernel::types::Opaque;
use linux::bindings;
use linux::callback::{Call, FromC};
use linux::object::Object;

/// Bytes of a process's address space: the first, and the one after the last.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct UserRange {
    /// Virtual address of the first byte.
    pub(super) start: usize,
    /// That of the byte after the last one.
    pub(super) end: usize,
}

impl UserRange {
    /// Whether both have a byte in common.
    pub(super) fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// What is used without a reference, and is given up when it changes.
pub(super) trait Revoke: Send + Unpin {
    /// Ends the use of what was found in `range`, before this returns.
    ///
    /// The caller may hold the mmap lock, and may be reclaiming memory: nothing here takes the one
    /// or waits for the other.
    fn revoke(&mut self, range: UserRange);
}

/// The state of an address space before something is looked up.
#[derive(Clone, Copy)]
pub(super) struct Sequence(usize);

/// Notified of changes from when it is made until it is dropped.
///
/// The lock inside is taken inside of the mmap lock, and under memory reclaim: with it held,
/// nothing is allocated that waits for memory.
#[pin_data(PinnedDrop)]
#[repr(C)]
pub(super) struct Notifier<T: Revoke> {
    #[pin]
    raw: Opaque<bindings::mmu_interval_notifier>,
    #[pin]
    uses: Mutex<T>,
}

// SAFETY: `raw` is the first field of a `repr(C)` structure.
unsafe impl<T: Revoke> Object<bindings::mmu_interval_notifier> for Notifier<T> {}
// SAFETY: The C structure is guarded by the kernel's own locks, `T` is `Send`.
unsafe impl<T: Revoke> Send for Notifier<T> {}
// SAFETY: As above, and a mutex guards `T`.
unsafe impl<T: Revoke> Sync for Notifier<T> {}

impl<T: Revoke> Notifier<T> {
    const OPS: &'static bindings::mmu_interval_notifier_ops =
        &bindings::mmu_interval_notifier_ops {
            invalidate: Some(Self::invalidate_callback),
            ..pin_init::zeroed()
        };

    /// Of the changes of `range` in `mm`, whose mmap lock the caller does not hold.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EOVERFLOW` for a range past the last address, `EINTR` when the caller is being
    /// killed.
    pub(super) fn new(mm: &MmWithUser, range: UserRange, uses: T) -> Result<Pin<KBox<Self>>> {
        let len = range.end.saturating_sub(range.start);
        KBox::try_pin_init(
            try_pin_init!(Self {
                uses <- new_mutex!(uses, "vfio_iommu_type1 revocation"),
                raw <- Opaque::try_ffi_init(|raw| {
                    // SAFETY: Memory for it, which stays where it is until it is removed, when this
                    // is dropped; a valid address space. The mutex is initialised.
                    to_result(unsafe {
                        bindings::mmu_interval_notifier_insert(
                            raw,
                            mm.as_raw(),
                            range.start,
                            len,
                            Self::OPS,
                        )
                    })
                }),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// To be called before something is looked up, without the mmap lock. Waits for changes that
    /// are under way.
    pub(super) fn sequence(&self) -> Sequence {
        // SAFETY: It is registered.
        Sequence(unsafe { bindings::mmu_interval_read_begin(self.as_raw()) })
    }

    /// Lets what was looked up since `sequence` be used, as long as it is not revoked; `None` if
    /// something has changed.
    pub(super) fn lock_unless_changed(
        &self,
        sequence: Sequence,
    ) -> Option<Guard<'_, T, MutexBackend>> {
        let uses = self.uses.lock();
        // SAFETY: It is registered, and the lock is the one that the callback takes.
        let changed = unsafe { bindings::siov_vfio_interval_changed(self.as_raw(), sequence.0) };
        (!changed).then_some(uses)
    }

    /// What is used, which is not revoked while this is locked.
    pub(super) fn uses(&self) -> &Mutex<T> {
        &self.uses
    }

    linux::callbacks! {
        /// `mmu_interval_notifier_ops::invalidate`.
        ///
        /// # Safety
        ///
        /// To be called by the kernel for a notifier of this type that is registered, with a range
        /// of the same address space.
        unsafe fn invalidate_callback(
            notifier: *mut bindings::mmu_interval_notifier => &Self,
            range: *const bindings::mmu_notifier_range => Change<'_>,
            sequence: usize => usize,
        ) -> bool = Self::invalidate;
    }

    fn invalidate(&self, change: Change<'_>, sequence: usize) -> bool {
        let uses = if change.may_sleep() {
            Some(self.uses.lock())
        } else {
            self.uses.try_lock()
        };
        let Some(mut uses) = uses else {
            return false;
        };
        // SAFETY: It is registered, and the lock is held.
        unsafe { bindings::siov_vfio_interval_set_changed(self.as_raw(), sequence) };
        if change.moves_frames() {
            uses.revoke(change.range());
        }
        true
    }
}

#[pinned_drop]
impl<T: Revoke> PinnedDrop for Notifier<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered in `new`. Waits for the callback.
        unsafe { bindings::mmu_interval_notifier_remove(self.as_raw()) };
    }
}

/// A change of an address space that is about to happen (`struct mmu_notifier_range`).
struct Change<'call>(
    *const bindings::mmu_notifier_range,
    PhantomData<&'call Call>,
);

/// Valid until the call ends, and not changed meanwhile.
impl<'call> FromC<'call, *const bindings::mmu_notifier_range> for Change<'call> {
    unsafe fn from_c(c: *const bindings::mmu_notifier_range, _call: &'call Call) -> Self {
        Self(c, PhantomData)
    }
}

impl Change<'_> {
    fn range(&self) -> UserRange {
        // SAFETY: Valid until the call ends.
        let start = unsafe { (*self.0).start };
        // SAFETY: As above.
        let end = unsafe { (*self.0).end };
        UserRange { start, end }
    }

    /// Whether the callback may wait.
    fn may_sleep(&self) -> bool {
        // SAFETY: Valid until the call ends.
        let flags = unsafe { (*self.0).flags };
        flags & bindings::MMU_NOTIFIER_RANGE_BLOCKABLE != 0
    }

    /// Whether addresses get other frames, or none: not if it is about who may write, or has
    /// written.
    fn moves_frames(&self) -> bool {
        // SAFETY: Valid until the call ends.
        let event = unsafe { (*self.0).event };
        !matches!(
            event,
            bindings::mmu_notifier_event_MMU_NOTIFY_PROTECTION_VMA
                | bindings::mmu_notifier_event_MMU_NOTIFY_PROTECTION_PAGE
                | bindings::mmu_notifier_event_MMU_NOTIFY_SOFT_DIRTY
        )
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Locked memory: what a process may pin (`RLIMIT_MEMLOCK`) and has pinned
//! (`mm_struct::locked_vm`).

use kernel::error::to_result;
use kernel::mm::{Mm, MmWithUser};
use kernel::prelude::*;
use kernel::task::Task;
use linux::bindings;
use linux::object::Object;
use siov_types::PageCount;

/// What becomes of pages of an account.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    /// They are locked.
    Charge(PageCount),
    /// They are no longer locked.
    Refund(PageCount),
}

/// An address space that is locked for writing, until this is dropped.
struct WriteLocked<'a>(&'a MmWithUser);

impl<'a> WriteLocked<'a> {
    fn new(mm: &'a MmWithUser) -> Self {
        // SAFETY: An address space that is valid.
        unsafe { bindings::siov_vfio_mmap_write_lock(mm.as_raw()) };
        Self(mm)
    }

    /// # Errors
    ///
    /// `EINTR` when the caller is being killed.
    fn new_killable(mm: &'a MmWithUser) -> Result<Self> {
        // SAFETY: An address space that is valid.
        to_result(unsafe { bindings::siov_vfio_mmap_write_lock_killable(mm.as_raw()) })?;
        Ok(Self(mm))
    }
}

impl Drop for WriteLocked<'_> {
    fn drop(&mut self) {
        // SAFETY: Locked where it was made, by this thread.
        unsafe { bindings::siov_vfio_mmap_write_unlock(self.0.as_raw()) };
    }
}

/// Changes the account of `mm`. `limit` is the task whose limit applies, if one does.
///
/// # Errors
///
/// `ESRCH` when the process has exited, which has settled its account; to charge it, `EINTR` when
/// the caller is being killed, and `ENOMEM` past the limit. Nothing has changed then.
pub(crate) fn account(mm: &Mm, limit: Option<&Task>, change: Change) -> Result {
    let (pages, more) = match change {
        Change::Charge(pages) => (pages, true),
        Change::Refund(pages) => (pages, false),
    };
    if pages == PageCount::ZERO {
        return Ok(());
    }
    let mm = mm.mmget_not_zero().ok_or(ESRCH)?;
    let locked = if more {
        WriteLocked::new_killable(&mm)?
    } else {
        // The one who pays lives on, though the caller may be dying.
        WriteLocked::new(&mm)
    };
    let current = current!();
    // The function logs the number of the task also where it applies no limit.
    let task: &Task = limit.unwrap_or(current);
    // SAFETY: Address space and task are valid, and the former is locked for writing.
    to_result(unsafe {
        bindings::__account_locked_vm(
            locked.0.as_raw(),
            pages.raw() as usize,
            more,
            task.as_raw(),
            limit.is_none(),
        )
    })
}

/// Whether the caller may lock as much as it likes.
pub(crate) fn may_exceed_limit() -> bool {
    // SAFETY: Any capability of a process.
    unsafe { bindings::capable(bindings::CAP_IPC_LOCK as i32) }
}

// SPDX-License-Identifier: GPL-2.0

//! Locked memory: what a process may pin (`RLIMIT_MEMLOCK`) and has pinned (`mm_struct::locked_vm`).

use kernel::error::to_result;
use kernel::mm::Mm;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::task::Task;
use linux::bindings;

/// Who pays.
pub(crate) struct Payer<'a> {
    pub(crate) task: &'a Task,
    pub(crate) mm: &'a ARef<Mm>,
    /// Had `CAP_IPC_LOCK`, which lifts the limit.
    pub(crate) unlimited: bool,
}

impl Payer<'_> {
    /// Adds `pages`, or takes them away when negative.
    ///
    /// # Errors
    ///
    /// `ESRCH` when the process has exited, which has settled its account; `EINTR` when the caller is
    /// being killed; `ENOMEM` past the limit.
    pub(crate) fn account(&self, pages: isize) -> Result {
        if pages == 0 {
            return Ok(());
        }
        let mm = self.mm.mmget_not_zero().ok_or(ESRCH)?;
        // SAFETY: The address space has a user as long as `mm` lives, and is unlocked after it was locked.
        unsafe {
            to_result(bindings::siov_vfio_mmap_write_lock_killable(mm.as_raw()))?;
            let ret = bindings::__account_locked_vm(
                mm.as_raw(),
                pages.unsigned_abs(),
                pages > 0,
                self.task.as_ptr(),
                self.unlimited,
            );
            bindings::siov_vfio_mmap_write_unlock(mm.as_raw());
            to_result(ret)
        }
    }
}

/// Whether the caller may lock as much as it likes.
pub(crate) fn may_exceed_limit() -> bool {
    crate::sys::c::capable(bindings::CAP_IPC_LOCK as i32)
}

// SPDX-License-Identifier: GPL-2.0

//! why: A file is left by the thread that is in it.
//! against: drivers/vfio/mdev/mdev.rs
//! error: E0277

#![forbid(unsafe_code)]

use crate::sys::Remover;

/// Where a work item has its data.
pub(crate) struct Work<T: Send>(pub(crate) T);

// misuse {
/// Removes a device later.
pub(crate) fn later(remover: Remover<'_>) -> Work<Remover<'_>> {
    Work(remover)
}
// } else {
/// Other work.
pub(crate) fn later(_remover: Remover<'_>) -> Work<u32> {
    Work(0)
}
// }

// SPDX-License-Identifier: GPL-2.0

//! why: A handle is for the thread that VFIO calls.
//! against: linux linux_vfio
//! error: E0277

#![forbid(unsafe_code)]

use linux_vfio::device::Handle;

/// Where a work item has its data.
pub struct Work<T: Send>(pub T);

// misuse {
/// Work on memory of a user.
pub fn later(user: Handle<'_>) -> Work<Handle<'_>> {
    Work(user)
}
// } else {
/// Other work.
pub fn later(_user: Handle<'_>) -> Work<u32> {
    Work(0)
}
// }

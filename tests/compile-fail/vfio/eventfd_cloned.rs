// SPDX-License-Identifier: GPL-2.0

//! why: Each `EventFd` is one reference, which is dropped once.
//! against: linux linux_vfio
//! error: E0277 Clone` is not satisfied

#![forbid(unsafe_code)]

use linux_vfio::eventfd::EventFd;

// misuse {
/// Drops a reference twice.
pub fn twice(eventfd: &EventFd) {
    drop(EventFd::clone(eventfd));
}
// } else {
/// Drops a reference.
pub fn once(eventfd: EventFd) {
    drop(eventfd);
}
// }

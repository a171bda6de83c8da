// SPDX-License-Identifier: GPL-2.0

//! why: That a group may be attached is true until the call of VFIO returns.
//! against: drivers/vfio/type1/type1.rs
//! error: E0621

#![forbid(unsafe_code)]

use crate::sys::endpoint::NewGroup;

// misuse {
/// Lets it out.
pub(crate) fn keep<'a>(group: NewGroup<'_>) -> NewGroup<'a> {
    group
}
// } else {
/// Passes it on.
pub(crate) fn pass<'a>(group: NewGroup<'a>) -> NewGroup<'a> {
    group
}
// }

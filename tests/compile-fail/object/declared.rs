// SPDX-License-Identifier: GPL-2.0

//! why: That a type stands for a C structure is a promise that safe code cannot make.
//! against: linux
//! error: E0200

#![forbid(unsafe_code)]

use linux::bindings;
use linux::object::Object;

/// Not a `struct device`.
pub struct Mine(u8);

// misuse {
impl Object<bindings::device> for Mine {}
// }

/// Uses an object.
pub fn raw<C>(object: &impl Object<C>) -> *mut C {
    object.as_raw()
}

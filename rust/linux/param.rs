// SPDX-License-Identifier: GPL-2.0

//! Module parameters.

use core::borrow::Borrow;

/// The value of a parameter: `value()` of the kernel crate returns a reference up to 7.2, and the
/// value itself from 7.3 on.
pub fn value<T: Copy>(parameter: impl Borrow<T>) -> T {
    *parameter.borrow()
}

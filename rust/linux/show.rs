// SPDX-License-Identifier: GPL-2.0

//! Values of crates that know nothing of the kernel, in kernel messages.

use kernel::fmt;

/// Prints as the value does: the kernel's printing macros have a `Display` of their own.
pub struct Show<T>(pub T);

impl<T: core::fmt::Display> fmt::Display for Show<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        core::fmt::Display::fmt(&self.0, f)
    }
}

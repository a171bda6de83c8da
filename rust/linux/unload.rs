// SPDX-License-Identifier: GPL-2.0

//! What stays until the module that this crate is linked into is unloaded.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

use crate::bindings;
use core::mem::ManuallyDrop;

/// A value that is dropped when the module is being unloaded: when nothing has a reference to it,
/// and so no other module calls its functions.
///
/// The driver of a subsystem chooses what the module is (`module!`), and so when its value is
/// dropped. What would be dropped before stays for ever, with a warning.
pub struct UntilUnload<T>(ManuallyDrop<T>);

impl<T> UntilUnload<T> {
    /// Keeps `value`.
    pub const fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }
}

impl<T> Drop for UntilUnload<T> {
    fn drop(&mut self) {
        // SAFETY: May be called anywhere.
        let is_going = unsafe { bindings::siov_helper_module_is_going() };
        if kernel::warn_on!(!is_going) {
            return;
        }
        // SAFETY: Not used after this.
        unsafe { ManuallyDrop::drop(&mut self.0) };
    }
}

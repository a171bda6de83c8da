// SPDX-License-Identifier: GPL-2.0

//! Functions of modules that may or may not be there.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h), `symbol_get()`

use crate::bindings;
use core::ffi::c_void;
use core::ptr::NonNull;
use kernel::prelude::*;

/// An exported symbol. Its module cannot be unloaded meanwhile.
pub struct Symbol {
    name: &'static CStr,
    address: NonNull<c_void>,
}

// SAFETY: A name and the address of code.
unsafe impl Send for Symbol {}
// SAFETY: As above.
unsafe impl Sync for Symbol {}

impl Symbol {
    /// The symbol, if some loaded module, or the kernel, exports it (`EXPORT_SYMBOL_GPL`).
    pub fn get(name: &'static CStr) -> Option<Self> {
        // SAFETY: The name is a C string.
        let address = NonNull::new(unsafe { bindings::__symbol_get(name.as_char_ptr()) })?;
        Some(Self { name, address })
    }

    /// Where it is.
    pub fn address(&self) -> NonNull<c_void> {
        self.address
    }
}

impl Drop for Symbol {
    fn drop(&mut self) {
        // SAFETY: Got in `get`, so it exists.
        unsafe { bindings::__symbol_put(self.name.as_char_ptr()) };
    }
}

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

/// Lists functions of modules that may or may not be there, as types that keep the module.
///
/// Whoever lists one says by `unsafe` that a symbol of this name is a function whose C parameters are
/// passed as these types are, and that demands nothing of its arguments but what the invariants of their
/// types promise, and argues it in a `SAFETY` comment.
#[macro_export]
macro_rules! symbol_functions {
    (unsafe { $(
        $(#[$attribute:meta])*
        $visibility:vis struct $type:ident =
            fn $name:ident $(<$lifetime:lifetime>)? ($($argument:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?;
    )* }) => {$(
        $(#[$attribute])*
        $visibility struct $type($crate::symbol::Symbol);

        impl $type {
            /// The function, if a module with it is loaded.
            $visibility fn get() -> Option<Self> {
                $crate::symbol::Symbol::get(::kernel::c_str!(stringify!($name))).map(Self)
            }

            /// Calls it.
            $visibility fn call $(<$lifetime>)? (&self, $($argument: $ty),*) $(-> $ret)? {
                type Function = $(for<$lifetime>)? extern "C" fn($($ty),*) $(-> $ret)?;
                // SAFETY: As whoever lists the function argues; it is there as long as its symbol is held.
                let function: Function = unsafe { core::mem::transmute(self.0.address()) };
                function($($argument),*)
            }
        }
    )*};
}

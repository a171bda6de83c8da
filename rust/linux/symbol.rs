// SPDX-License-Identifier: GPL-2.0

//! Functions of modules that may or may not be there.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h), `symbol_get()`

use crate::bindings;
use core::ffi::c_void;
use core::mem::{size_of, transmute_copy};
use kernel::prelude::*;

/// An exported function of type `F`, an `unsafe extern "C" fn`. Its module cannot be unloaded
/// meanwhile.
pub struct Symbol<F> {
    name: &'static CStr,
    function: F,
}

impl<F: Copy> Symbol<F> {
    /// The function, if some loaded module, or the kernel, exports it (`EXPORT_SYMBOL_GPL`).
    ///
    /// # Safety
    ///
    /// `F` is a function pointer, of the type of the function that has this name.
    pub unsafe fn get(name: &'static CStr) -> Option<Self> {
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
        // SAFETY: The name is a C string.
        let address = unsafe { bindings::__symbol_get(name.as_char_ptr()) };
        if address.is_null() {
            return None;
        }
        // SAFETY: The address of a function of this type, as required of us, and not NULL.
        let function = unsafe { transmute_copy::<*mut c_void, F>(&address) };
        Some(Self { name, function })
    }

    /// The function. It is there as long as `self` is.
    #[inline(always)]
    pub fn function(&self) -> F {
        self.function
    }
}

impl<F> Drop for Symbol<F> {
    fn drop(&mut self) {
        // SAFETY: Got in `get`, so it exists.
        unsafe { bindings::__symbol_put(self.name.as_char_ptr()) };
    }
}

/// Declares types for functions of modules that may or may not be there; a value of such a type
/// keeps the module.
///
/// It compiles only if the type of the function is that of the prototype which the module that
/// defines it includes, as bindgen found it.
///
/// ```ignore
/// linux::imports! {
///     /// `mdev_get_domain_type()`.
///     struct GetDomainType = fn mdev_get_domain_type(*mut bindings::device) -> c_int;
/// }
/// ```
#[macro_export]
macro_rules! imports {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis struct $type:ident = fn $name:ident($($argument:ty),* $(,)?) $(-> $ret:ty)?;
    )*) => {$(
        $(#[$attribute])*
        $visibility struct $type(
            $crate::symbol::Symbol<unsafe extern "C" fn($($argument),*) $(-> $ret)?>,
        );

        impl $type {
            /// The function, if a module with it is loaded.
            $visibility fn get() -> Option<Self> {
                const _: unsafe extern "C" fn($($argument),*) $(-> $ret)? = $crate::bindings::$name;
                // SAFETY: The type is that of the prototype, as the line above shows.
                unsafe { $crate::symbol::Symbol::get(::kernel::c_str!(stringify!($name))) }.map(Self)
            }

            /// The function. It is there as long as `self` is.
            #[inline(always)]
            $visibility fn function(&self) -> unsafe extern "C" fn($($argument),*) $(-> $ret)? {
                self.0.function()
            }
        }
    )*};
}

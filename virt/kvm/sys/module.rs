// SPDX-License-Identifier: GPL-2.0

//! The module that our code is in: kvm.ko, or a live patch, which must stay for as long as somebody may call
//! it.

use linux::bindings;

mod c {
    use linux::bindings;

    // SAFETY: Called with the module that calls, while it is loaded.
    linux::c_functions!(unsafe {
        pub(super) fn __module_get(module: *mut bindings::module);
        pub(super) fn module_put(module: *mut bindings::module);
    });
}

/// Keeps the module, until [`put`] is called as often.
pub(crate) fn get() {
    c::__module_get(&raw mut bindings::__this_module);
}

/// As the last thing that is done for whatever called [`get`].
pub(crate) fn put() {
    c::module_put(&raw mut bindings::__this_module);
}

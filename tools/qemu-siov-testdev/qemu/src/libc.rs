// SPDX-License-Identifier: GPL-2.0

//! Functions of the C library that look at programs and memory.

use std::ffi::{c_char, c_int, c_void, CStr};

use crate::ffi::Text;

/// `Dl_info`.
#[repr(C)]
struct DlInfo {
    path: *const c_char,
    base: *mut c_void,
    symbol: *const c_char,
    address: *mut c_void,
}

extern "C" {
    fn dladdr(address: *const c_void, info: *mut DlInfo) -> c_int;
    /// The address of a symbol, or null.
    pub(crate) fn dlsym(handle: *mut c_void, name: Text<'_>) -> *mut c_void;
    /// Bytes of a block of malloc(), at least as many as were asked for.
    pub(crate) fn malloc_usable_size(block: *const c_void) -> usize;
}

/// The whole program and its libraries.
pub(crate) const RTLD_DEFAULT: *mut c_void = std::ptr::null_mut();

/// A loaded program or library.
pub(crate) struct Object {
    /// Where it is loaded.
    pub(crate) base: usize,
    /// Its file.
    pub(crate) path: String,
}

/// The program or library that has something at `address`.
pub(crate) fn object_at(address: usize) -> Option<Object> {
    let mut info = DlInfo {
        path: std::ptr::null(),
        base: std::ptr::null_mut(),
        symbol: std::ptr::null(),
        address: std::ptr::null_mut(),
    };
    // SAFETY: any address may be asked for; a path that is found is a string.
    unsafe {
        if dladdr(address as *const c_void, &mut info) == 0 || info.path.is_null() {
            return None;
        }
        let path = CStr::from_ptr(info.path).to_string_lossy().into_owned();
        Some(Object {
            base: info.base as usize,
            path,
        })
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Functions of the C library that look at programs and memory.

use std::ffi::{c_char, c_int, c_void, CStr};
use std::mem::transmute_copy;

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
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn malloc_usable_size(block: *mut c_void) -> usize;
}

/// The whole program and its libraries.
const RTLD_DEFAULT: *mut c_void = std::ptr::null_mut();

/// The address of a symbol of this program or of its libraries, or null.
pub(crate) fn symbol(name: &CStr) -> *mut c_void {
    // SAFETY: looks a string up.
    unsafe { dlsym(RTLD_DEFAULT, name.as_ptr()) }
}

/// The function at an address, `None` for null.
///
/// # Safety
///
/// `F` is a function pointer, and of the type of the function at the address.
pub(crate) unsafe fn function<F: Copy>(address: *mut c_void) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    if address.is_null() {
        return None;
    }
    // SAFETY: of this type, as required of the caller, and not null.
    Some(unsafe { transmute_copy::<*mut c_void, F>(&address) })
}

/// Bytes of a block of malloc(), at least as many as were asked for.
///
/// # Safety
///
/// It is such a block, or null.
pub(crate) unsafe fn usable_size(block: *mut c_void) -> usize {
    // SAFETY: as required of the caller.
    unsafe { malloc_usable_size(block) }
}

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
    // SAFETY: any address may be asked for, and there is room for the answer.
    let found = unsafe { dladdr(address as *const c_void, &mut info) };
    if found == 0 || info.path.is_null() {
        return None;
    }
    // SAFETY: the path of what was found is a string, which stays as long as that is loaded.
    let path = unsafe { CStr::from_ptr(info.path) };
    Some(Object {
        base: info.base as usize,
        path: path.to_string_lossy().into_owned(),
    })
}

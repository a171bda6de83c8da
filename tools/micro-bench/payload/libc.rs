// SPDX-License-Identifier: GPL-2.0

//! The four functions that the compiler and `core` take for granted.
//!
//! Volatile accesses, or the compiler would turn each loop into a call of the function it is in.
//! Nothing that is measured comes here.

/// Copies `size` bytes between areas that do not overlap.
///
/// # Safety
///
/// As memcpy(3).
#[no_mangle]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, size: usize) -> *mut u8 {
    for i in 0..size {
        // SAFETY: both areas have `size` bytes, as required of the caller.
        unsafe { copy_byte(to, from, i) };
    }
    to
}

/// Copies byte `i` of one area to its place in another.
///
/// # Safety
///
/// Both areas have more than `i` bytes, of which the first may be written.
#[inline(always)]
unsafe fn copy_byte(to: *mut u8, from: *const u8, i: usize) {
    // SAFETY: within the area, as required of the caller.
    let byte = unsafe { from.wrapping_add(i).read_volatile() };
    // SAFETY: within the area, as required of the caller.
    unsafe { to.wrapping_add(i).write_volatile(byte) };
}

/// Copies `size` bytes between areas that may overlap.
///
/// # Safety
///
/// As memmove(3).
#[no_mangle]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, size: usize) -> *mut u8 {
    // Going upwards reads each byte before it is overwritten if `to` does not begin within the
    // source.
    let is_upwards = (to as usize).wrapping_sub(from as usize) >= size;
    for i in 0..size {
        let i = if is_upwards { i } else { size - 1 - i };
        // SAFETY: both areas have `size` bytes, as required of the caller.
        unsafe { copy_byte(to, from, i) };
    }
    to
}

/// Fills `size` bytes.
///
/// # Safety
///
/// As memset(3).
#[no_mangle]
unsafe extern "C" fn memset(to: *mut u8, value: i32, size: usize) -> *mut u8 {
    for i in 0..size {
        // SAFETY: the area has `size` bytes, as required of the caller.
        unsafe { to.wrapping_add(i).write_volatile(value as u8) };
    }
    to
}

/// Compares `size` bytes.
///
/// # Safety
///
/// As memcmp(3).
#[no_mangle]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, size: usize) -> i32 {
    for i in 0..size {
        // SAFETY: the area has `size` bytes, as required of the caller.
        let a = unsafe { a.wrapping_add(i).read_volatile() };
        // SAFETY: the area has `size` bytes, as required of the caller.
        let b = unsafe { b.wrapping_add(i).read_volatile() };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// Whether `size` bytes differ.
///
/// # Safety
///
/// As bcmp(3).
#[no_mangle]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, size: usize) -> i32 {
    // SAFETY: the caller's promise is that of memcmp().
    unsafe { memcmp(a, b, size) }
}

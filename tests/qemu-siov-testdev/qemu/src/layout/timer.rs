// SPDX-License-Identifier: GPL-2.0

//! Checks that a timer (include/qemu/timer.h, `QEMUTimer`) fits into what is set aside for it.

use std::ffi::c_void;

use super::Refusal;
use crate::ffi::{Storage, CLOCK_VIRTUAL, SCALE_NS};
use crate::symbols::Symbols;

unsafe extern "C" fn never(_opaque: *mut c_void) {}

/// # Safety
///
/// As for [`Layout::find`](super::Layout::find).
pub(super) unsafe fn check(symbols: &Symbols) -> Result<(), Refusal> {
    let storage = Storage::new();
    let opaque = std::ptr::from_ref(&storage) as usize;
    let none = std::ptr::null_mut();
    // SAFETY: the timer is never armed, so that nothing keeps its address.
    unsafe {
        let timer = storage.as_ptr();
        (symbols.timer_init_full)(
            timer,
            none,
            CLOCK_VIRTUAL,
            SCALE_NS,
            0,
            never,
            opaque as *mut _,
        );
    }
    if !storage.holds(never as *const () as usize) || !storage.holds(opaque) {
        return Err(Refusal::new(
            "QEMUTimer: it does not hold what it was given",
        ));
    }
    if !storage.is_intact() {
        return Err(Refusal::new("QEMUTimer: it is larger than expected"));
    }
    Ok(())
}

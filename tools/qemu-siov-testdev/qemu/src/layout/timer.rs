// SPDX-License-Identifier: GPL-2.0

//! Checks that a timer (include/qemu/timer.h, `QEMUTimer`) fits into what is set aside for it.

use std::ffi::c_void;
use std::ptr;

use super::Refusal;
use crate::ffi::{Clock, Storage, SCALE_NS};
use crate::symbols::Symbols;

/// `QEMUTimerCB`.
///
/// # Safety
///
/// For any timer.
unsafe extern "C" fn never(_opaque: *mut c_void) {}

pub(super) fn check(symbols: &Symbols) -> Result<(), Refusal> {
    let storage = Storage::new();
    let opaque: *mut c_void = storage.as_ptr();
    let (init, clock, all) = (symbols.timer_init_full, Clock::Virtual, ptr::null_mut());
    // SAFETY: there is more room than a timer was ever seen to take, which is checked below. It is
    // never armed, so that nothing is called and nothing keeps its address.
    unsafe { init(storage.as_ptr(), all, clock, SCALE_NS, 0, never, opaque) };
    if !storage.holds(never as *const () as usize) || !storage.holds(opaque as usize) {
        return Err(Refusal::new(
            "QEMUTimer: it does not hold what it was given",
        ));
    }
    if !storage.is_intact() {
        return Err(Refusal::new("QEMUTimer: it is larger than expected"));
    }
    Ok(())
}

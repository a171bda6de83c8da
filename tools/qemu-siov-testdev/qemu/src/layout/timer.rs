// SPDX-License-Identifier: GPL-2.0

//! Checks that a timer (include/qemu/timer.h, `QEMUTimer`) fits into what is set aside for it.

use super::Refusal;
use crate::ffi::{Clock, Object, Storage, SCALE_NS};
use crate::symbols::Symbols;

extern "C" fn never(_object: &Object) {}

pub(super) fn check(symbols: &Symbols) -> Result<(), Refusal> {
    let storage = Storage::new();
    let opaque: *const Object = storage.as_ptr();
    let (init, none) = (symbols.timer_init_full, std::ptr::null_mut());
    // SAFETY: the timer is never armed, so that nothing is called and nothing keeps its address.
    unsafe {
        init(
            storage.as_ptr(),
            none,
            Clock::Virtual,
            SCALE_NS,
            0,
            never,
            opaque,
        )
    };
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

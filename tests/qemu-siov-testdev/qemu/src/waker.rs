// SPDX-License-Identifier: GPL-2.0

//! Calls a function later: from a bottom half as soon as possible, from a timer at a guest time.

use std::ffi::c_void;

use crate::ffi::{Bh, Storage, Timer, CLOCK_VIRTUAL, SCALE_NS};
use crate::qemu::Qemu;

/// Guest time in nanoseconds.
pub(crate) fn now(qemu: &Qemu) -> u64 {
    // SAFETY: the clock exists.
    let now = unsafe { (qemu.symbols.qemu_clock_get_ns)(CLOCK_VIRTUAL) };
    u64::try_from(now).unwrap_or(0)
}

/// A bottom half and a timer for the same function.
pub(crate) struct Waker {
    qemu: &'static Qemu,
    bh: *mut Bh,
    timer: Box<Storage>,
}

impl Waker {
    /// Will call `function` with `opaque`, with the big lock held.
    ///
    /// # Safety
    ///
    /// The call is sound as long as the waker exists.
    pub(crate) unsafe fn new(
        qemu: &'static Qemu,
        function: unsafe extern "C" fn(*mut c_void),
        opaque: *mut c_void,
    ) -> Self {
        let symbols = &qemu.symbols;
        let none = std::ptr::null_mut();
        let timer = Box::new(Storage::new());
        // SAFETY: the strings are static, and the timer stays in its box until it is deleted.
        let bh = unsafe {
            let context = (symbols.qemu_get_aio_context)();
            (symbols.timer_init_full)(
                timer.as_ptr(),
                none,
                CLOCK_VIRTUAL,
                SCALE_NS,
                0,
                function,
                opaque,
            );
            (symbols.aio_bh_new_full)(context, function, opaque, c"qemu-device".as_ptr(), none)
        };
        Self { qemu, bh, timer }
    }

    /// Sets the next call; replaces the one that was set. `None`: no call.
    pub(crate) fn set(&self, at: Option<u64>) {
        let symbols = &self.qemu.symbols;
        let timer: *mut Timer = self.timer.as_ptr();
        // SAFETY: both live as long as the waker.
        unsafe {
            match at {
                Some(at) if at > now(self.qemu) => {
                    (symbols.qemu_bh_cancel)(self.bh);
                    (symbols.timer_mod_ns)(timer, i64::try_from(at).unwrap_or(i64::MAX));
                }
                Some(_) => {
                    (symbols.timer_del)(timer);
                    (symbols.qemu_bh_schedule)(self.bh);
                }
                None => {
                    (symbols.timer_del)(timer);
                    (symbols.qemu_bh_cancel)(self.bh);
                }
            }
        }
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        let symbols = &self.qemu.symbols;
        // SAFETY: both exist and are not used any more. Deleting a bottom half from itself is allowed.
        unsafe {
            (symbols.timer_del)(self.timer.as_ptr());
            (symbols.qemu_bh_delete)(self.bh);
        }
    }
}

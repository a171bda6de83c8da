// SPDX-License-Identifier: GPL-2.0

//! Calls a function later: from a bottom half as soon as possible, from a timer at a guest time.

use std::rc::Rc;

use crate::ffi::{Bh, Clock, ObjectFunction, PciDevice, Storage, Timer, SCALE_NS};
use crate::object_ref::ObjectRef;
use crate::qemu::Qemu;

/// Guest time in nanoseconds.
pub(crate) fn now(qemu: &Qemu) -> u64 {
    u64::try_from((qemu.symbols.qemu_clock_get_ns)(Clock::Virtual)).unwrap_or(0)
}

/// A bottom half and a timer for the same function.
pub(crate) struct Waker {
    qemu: &'static Qemu,
    bh: *mut Bh,
    timer: Rc<Storage>,
    _device: Rc<ObjectRef<PciDevice>>,
}

impl Waker {
    /// Will call `function` with `device`, with the big lock held.
    pub(crate) fn new(
        qemu: &'static Qemu,
        device: Rc<ObjectRef<PciDevice>>,
        function: ObjectFunction,
    ) -> Self {
        let symbols = &qemu.symbols;
        let (context, object) = ((symbols.qemu_get_aio_context)(), device.as_ref().as_ref());
        let (init, none) = (symbols.timer_init_full, std::ptr::null_mut());
        let timer = Rc::new(Storage::new());
        // SAFETY: the string is static; the timer stays where it is, and the object is kept, until both
        // are deleted.
        let bh = unsafe {
            let make_bh = symbols.aio_bh_new_full;
            init(
                timer.as_ptr(),
                none,
                Clock::Virtual,
                SCALE_NS,
                0,
                function,
                object,
            );
            make_bh(
                context,
                function,
                object,
                c"qemu-device".into(),
                none.cast(),
            )
        };
        Self {
            qemu,
            bh,
            timer,
            _device: device,
        }
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

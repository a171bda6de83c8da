// SPDX-License-Identifier: GPL-2.0

//! Calls a function later: from a bottom half as soon as possible, from a timer at a guest time.

use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;

use crate::ffi::{Bh, Clock, OpaqueFunction, PciDevice, Storage, SCALE_NS};
use crate::object_ref::ObjectRef;
use crate::qemu::Qemu;

/// Guest time in nanoseconds.
pub(crate) fn now(qemu: &Qemu) -> u64 {
    // SAFETY: may be called by any thread.
    let now = unsafe { (qemu.symbols.qemu_clock_get_ns)(Clock::Virtual) };
    u64::try_from(now).unwrap_or(0)
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
    ///
    /// # Safety
    ///
    /// `function` may be called so until the result is dropped.
    pub(crate) unsafe fn new(
        qemu: &'static Qemu,
        device: Rc<ObjectRef<PciDevice>>,
        function: OpaqueFunction,
    ) -> Self {
        let symbols = &qemu.symbols;
        let object: *mut c_void = device.as_ptr().cast();
        let timer = Rc::new(Storage::new());
        let (init, clock, all) = (symbols.timer_init_full, Clock::Virtual, ptr::null_mut());
        // SAFETY: a timer fits into the storage, and stays where it is until it is deleted; the
        // object is kept as long. QEMU calls the function as required of the caller.
        unsafe { init(timer.as_ptr(), all, clock, SCALE_NS, 0, function, object) };
        // SAFETY: there is a device, so there is the main loop.
        let context = unsafe { (symbols.qemu_get_aio_context)() };
        let (make, name) = (symbols.aio_bh_new_full, c"qemu-device".as_ptr());
        // SAFETY: the string is static; the object is kept until the bottom half is deleted. QEMU
        // calls the function as required of the caller.
        let bh = unsafe { make(context, function, object, name, ptr::null_mut()) };
        Self {
            qemu,
            bh,
            timer,
            _device: device,
        }
    }

    /// Sets the next call; replaces the one that was set. `None`: no call.
    pub(crate) fn set(&self, at: Option<u64>) {
        match at {
            Some(at) if at > now(self.qemu) => {
                self.cancel_bh();
                let at = i64::try_from(at).unwrap_or(i64::MAX);
                // SAFETY: the timer is initialized.
                unsafe { (self.qemu.symbols.timer_mod_ns)(self.timer.as_ptr(), at) };
            }
            Some(_) => {
                self.cancel_timer();
                // SAFETY: the bottom half exists.
                unsafe { (self.qemu.symbols.qemu_bh_schedule)(self.bh) };
            }
            None => {
                self.cancel_timer();
                self.cancel_bh();
            }
        }
    }

    fn cancel_timer(&self) {
        // SAFETY: the timer is initialized.
        unsafe { (self.qemu.symbols.timer_del)(self.timer.as_ptr()) };
    }

    fn cancel_bh(&self) {
        // SAFETY: the bottom half exists.
        unsafe { (self.qemu.symbols.qemu_bh_cancel)(self.bh) };
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        self.cancel_timer();
        // SAFETY: it exists and is not used any more. Deleting a bottom half from itself is
        // allowed.
        unsafe { (self.qemu.symbols.qemu_bh_delete)(self.bh) };
    }
}

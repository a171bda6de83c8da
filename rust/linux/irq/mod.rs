// SPDX-License-Identifier: GPL-2.0

//! Interrupts.
//!
//! C header: [`include/linux/interrupt.h`](srctree/include/linux/interrupt.h)

mod message;

pub use message::{Message, MessageInterrupt, MessageSource};

use crate::bindings;
use crate::module::{InUse, Kind};
use core::ffi::c_void;
use kernel::error::to_result;
use kernel::prelude::*;

/// What an interrupt handler returns.
pub(crate) fn irqreturn(handled: bool) -> bindings::irqreturn_t {
    // SAFETY: Takes any value.
    unsafe { bindings::siov_helper_irqreturn(handled) }
}

/// Whether interrupts are off, with a warning. What waits when it is dropped is kept then, and
/// never freed: it may be in use by the handler that drops it.
pub(crate) fn off_when_dropped() -> bool {
    // SAFETY: May be called anywhere.
    kernel::warn_on!(unsafe { bindings::siov_helper_irqs_disabled() })
}

/// An interrupt that is requested. Dropping it waits for a running handler and frees it.
pub(crate) struct Requested {
    irq: u32,
    cookie: *mut c_void,
    _in_use: InUse,
}

// SAFETY: An interrupt may be freed in any thread; the cookie is only compared.
unsafe impl Send for Requested {}
// SAFETY: There is nothing that a reference allows.
unsafe impl Sync for Requested {}

impl Requested {
    /// Requests `irq` (`request_threaded_irq()`).
    ///
    /// # Safety
    ///
    /// `handler` and `thread` may be called with `cookie` until the result is dropped. The
    /// interrupt is allocated at least as long.
    pub(crate) unsafe fn new(
        irq: u32,
        handler: bindings::irq_handler_t,
        thread: bindings::irq_handler_t,
        flags: usize,
        name: &'static CStr,
        cookie: *mut c_void,
    ) -> Result<Self> {
        let _in_use = InUse::new(Kind::Interrupt);
        // SAFETY: As required of us; the name lives for ever.
        to_result(unsafe {
            bindings::request_threaded_irq(irq, handler, thread, flags, name.as_char_ptr(), cookie)
        })?;
        Ok(Self {
            irq,
            cookie,
            _in_use,
        })
    }
}

impl Drop for Requested {
    fn drop(&mut self) {
        // SAFETY: Requested in `new` with this cookie.
        unsafe { bindings::free_irq(self.irq, self.cookie) };
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Limits how often something is said.
//!
//! C header: [`include/linux/ratelimit.h`](srctree/include/linux/ratelimit.h)

use crate::bindings;
use kernel::prelude::*;
use kernel::types::Opaque;

/// Lets a burst through per interval, and says how many it held back when the interval ends.
#[pin_data]
pub struct RateLimit {
    #[pin]
    state: Opaque<bindings::ratelimit_state>,
    name: &'static CStr,
}

// SAFETY: The C side locks it.
unsafe impl Send for RateLimit {}
// SAFETY: As above.
unsafe impl Sync for RateLimit {}

impl RateLimit {
    /// `burst` times in `seconds`. `name` is what the message about the rest begins with.
    pub fn new(seconds: u32, burst: u32, name: &'static CStr) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: The slot is valid for writes, and the structure is initialised in place.
            state <- Opaque::ffi_init(move |slot| unsafe {
                bindings::siov_helper_ratelimit_init(slot, seconds as i32, burst as i32)
            }),
            name,
        })
    }

    /// Whether it may be said now. May be called from any context.
    pub fn allows(&self) -> bool {
        // SAFETY: Initialised in `new`; `name` lives for ever.
        unsafe { bindings::___ratelimit(self.state.get(), self.name.as_char_ptr()) != 0 }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! why: Handler and owner use the source at the same time, so it has to be `Sync`.
//! against: linux
//! error: E0277 cannot be shared between threads safely

#![forbid(unsafe_code)]

use linux::irq::{Message, MessageSource};

/// A source.
pub struct Source(
    // misuse {
    core::cell::Cell<u32>,
    // } else {
    core::sync::atomic::AtomicU32,
    // }
);

impl MessageSource for Source {
    fn set_message(&self, _message: Message) {
        let _ = &self.0;
    }

    fn set_masked(&self, _masked: bool) {}

    fn handle(&self) -> bool {
        false
    }
}

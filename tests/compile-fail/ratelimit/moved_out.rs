// SPDX-License-Identifier: GPL-2.0

//! why: The C side locks the state of a rate limit where it was initialised.
//! against: linux
//! error: E0277 cannot be unpinned

#![forbid(unsafe_code)]

use core::pin::Pin;
use kernel::prelude::*;
use linux::ratelimit::RateLimit;

/// Takes it out.
pub fn take(limit: Pin<KBox<RateLimit>>) -> bool {
    // misuse {
    let limit = Pin::into_inner(limit);
    // }
    limit.allows()
}

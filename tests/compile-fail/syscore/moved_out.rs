// SPDX-License-Identifier: GPL-2.0

//! why: A registration is in a C list, so it does not move.
//! against: linux
//! error: E0277 cannot be unpinned

#![forbid(unsafe_code)]

use core::pin::Pin;
use kernel::prelude::*;
use linux::syscore::{Registration, SystemCore};

/// Takes it out.
pub fn take<T: SystemCore>(registration: Pin<KBox<Registration<T>>>) {
    // misuse {
    let registration = Pin::into_inner(registration);
    // }
    drop(registration);
}

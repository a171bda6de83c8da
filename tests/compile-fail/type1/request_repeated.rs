// SPDX-License-Identifier: GPL-2.0

//! why: A driver unpins a page once for each time that it has pinned it.
//! against: drivers/vfio/type1/type1.rs
//! error: E0277 Clone` is not satisfied

#![forbid(unsafe_code)]

use crate::sys::ioas::{Ioas, Memory};
use crate::sys::request::UnpinRequest;

/// Unpins.
pub(crate) fn unpin<M: Memory>(ioas: &mut Ioas<M>, request: &mut UnpinRequest) {
    // misuse {
    let _ = ioas.unpin_next(&mut UnpinRequest::clone(request));
    // }
    let _ = ioas.unpin_next(request);
}

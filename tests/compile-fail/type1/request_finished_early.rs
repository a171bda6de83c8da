// SPDX-License-Identifier: GPL-2.0

//! why: A driver gets pages when all of them are pinned.
//! against: drivers/vfio/type1/type1.rs
//! error: E0423

#![forbid(unsafe_code)]

use crate::sys::request::{PinRequest, Pinned};
use kernel::prelude::*;

/// Finishes a request.
pub(crate) fn finish<'a>(request: PinRequest<'a>) -> Result<Pinned<'a>> {
    // misuse {
    return Ok(Pinned(&[]));
    // }
    request.finish()
}

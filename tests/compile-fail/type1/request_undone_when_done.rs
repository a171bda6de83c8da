// SPDX-License-Identifier: GPL-2.0

//! why: Pages that a driver gets are not unpinned.
//! against: drivers/vfio/type1/type1.rs
//! error: E0382

#![forbid(unsafe_code)]

use crate::sys::ioas::{Ioas, Memory};
use crate::sys::request::{PinRequest, Pinned};
use kernel::prelude::*;

/// Finishes a request.
pub(crate) fn finish<'a, M: Memory>(
    ioas: &mut Ioas<M>,
    request: PinRequest<'a>,
) -> Result<Pinned<'a>> {
    let pinned = request.finish();
    // misuse {
    ioas.unpin_all(request);
    // }
    let _ = ioas.domains();
    pinned
}

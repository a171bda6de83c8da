// SPDX-License-Identifier: GPL-2.0

//! why: Two address spaces do not have one id: a request for the one would change the other.
//! against: drivers/vfio/type1/type1.rs
//! error: E0423

#![forbid(unsafe_code)]

use crate::sys::ioas::{Ioas, IoasId};

/// Makes an address space.
pub(crate) fn make<M>(id: IoasId) -> Ioas<M> {
    // misuse {
    let id = IoasId(1);
    // }
    Ioas::new(id)
}

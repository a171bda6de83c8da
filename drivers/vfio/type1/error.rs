// SPDX-License-Identifier: GPL-2.0

//! Error numbers that the kernel crate has no name for.

use kernel::error::Error;
use kernel::prelude::*;
use linux::bindings;
use siov_type1::Refusal;

/// `EOVERFLOW`: a range that ends past the last address.
pub(crate) fn eoverflow() -> Error {
    Error::from_errno(-(bindings::EOVERFLOW as i32))
}

/// The error of a malformed request.
pub(crate) fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Invalid => EINVAL,
        Refusal::Overflow => eoverflow(),
    }
}

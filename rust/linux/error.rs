// SPDX-License-Identifier: GPL-2.0

//! Errors that the kernel crate has no name for.

use crate::bindings;
use kernel::error::Error;

/// `EOPNOTSUPP`: this device, or this hardware, cannot do what was asked.
pub fn eopnotsupp() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as i32))
}

/// `EADDRINUSE`: the range is taken.
pub fn eaddrinuse() -> Error {
    Error::from_errno(-(bindings::EADDRINUSE as i32))
}

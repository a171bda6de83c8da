// SPDX-License-Identifier: GPL-2.0

//! why: What is written to a file ends with a NUL because sysfs says so, not the driver.
//! against: drivers/vfio/mdev/mdev.rs
//! error: E0423

#![forbid(unsafe_code)]

use crate::sys::{Text, Uuid};
use kernel::prelude::*;

/// Reads a UUID.
pub(crate) fn uuid(text: Text<'_>) -> Result<Uuid> {
    // misuse {
    let text = Text(c"");
    // }
    text.uuid()
}

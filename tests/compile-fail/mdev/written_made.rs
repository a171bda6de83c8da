// SPDX-License-Identifier: GPL-2.0

//! why: How much of a page was filled is counted where it is filled.
//! against: linux
//! error: E0423

#![forbid(unsafe_code)]

use linux::sysfs::{Page, Written};

/// Shows more than there is.
pub fn show(page: Page<'_>) -> Written {
    // misuse {
    let _ = page.line(b"");
    Written(1 << 20)
    // } else {
    page.line(b"")
    // }
}

// SPDX-License-Identifier: GPL-2.0

//! why: A page of sysfs is lent for the call.
//! against: linux
//! error: E0521

#![forbid(unsafe_code)]

use kernel::sync::Mutex;
use linux::sysfs::{Page, Written};

// misuse {
/// Keeps the page.
pub fn show(kept: &Mutex<Option<Page<'static>>>, page: Page<'_>) {
    *kept.lock() = Some(page);
}
// } else {
/// Fills the page.
pub fn show(kept: &Mutex<Option<Written>>, page: Page<'_>) {
    *kept.lock() = Some(page.line(b""));
}
// }

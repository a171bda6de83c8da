// SPDX-License-Identifier: GPL-2.0

//! why: A device is bound until its driver is unbound, and a driver that keeps it so cannot know
//!     when.
//! against: linux
//! error: E0621

#![forbid(unsafe_code)]

use kernel::device::{Bound, Device};
use linux::pci::driver::Function;

// misuse {
/// Lets it out.
pub fn leak<'a>(function: &Function<'a>) -> &'a Device<Bound> {
    function.bound()
}
// } else {
/// Looks at it.
pub fn look<'b>(function: &'b Function<'_>) -> &'b Device<Bound> {
    function.bound()
}
// }

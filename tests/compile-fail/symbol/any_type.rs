// SPDX-License-Identifier: GPL-2.0

//! why: Which type a symbol has, safe code cannot say.
//! against: linux
//! error: E0133

#![forbid(unsafe_code)]

use linux::symbol::Symbol;

/// A C function of any type.
pub type Function = extern "C" fn(u64) -> u64;

/// Gets it.
pub fn get() -> Option<Symbol<Function>> {
    // misuse {
    return Symbol::get(c"kfree");
    // }
    None
}

// SPDX-License-Identifier: GPL-2.0

//! why: A range is unmapped and released once.
//! against: linux
//! error: E0277 Clone` is not satisfied

#![forbid(unsafe_code)]

use linux::mmio::Registers;

// misuse {
/// Unmaps it twice.
pub fn twice(registers: &Registers) {
    drop(Registers::clone(registers));
    drop(Registers::clone(registers));
}
// } else {
/// Unmaps it once.
pub fn once(registers: Registers) {
    drop(registers);
}
// }

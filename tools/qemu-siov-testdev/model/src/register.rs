// SPDX-License-Identifier: GPL-2.0

//! 64-bit registers, which may be accessed by halves.

/// The half of `value` that a 32-bit access at `offset` reads.
pub(crate) fn half(offset: u64, value: u64) -> u32 {
    if offset & 4 == 0 {
        value as u32
    } else {
        (value >> 32) as u32
    }
}

/// Replaces the half of `value` that a 32-bit access at `offset` writes.
pub(crate) fn set_half(offset: u64, value: &mut u64, to: u32) {
    if offset & 4 == 0 {
        *value = (*value & !0xffff_ffff) | u64::from(to);
    } else {
        *value = (*value & 0xffff_ffff) | (u64::from(to) << 32);
    }
}

/// The 64-bit register that a 32-bit access at `offset` touches.
pub(crate) fn wide(offset: u64) -> u64 {
    offset & !7
}

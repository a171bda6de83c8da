// SPDX-License-Identifier: GPL-2.0

//! Device registers in memory.

use core::arch::asm;

/// A register of 32 bits.
///
/// # Invariants
///
/// Reads and writes have no effect on the memory of this program.
#[derive(Clone, Copy, Debug)]
pub struct Register(u64);

impl Register {
    /// # Safety
    ///
    /// `address` must be the physical address of such a register, below 4 GiB.
    pub const unsafe fn new(address: u64) -> Self {
        Self(address)
    }

    /// Reads it.
    #[inline(always)]
    pub fn read(self) -> u32 {
        let value: u32;
        // SAFETY: the type's invariant; memory below 4 GiB is mapped one to one.
        unsafe {
            asm!("mov {:e}, [{}]", out(reg) value, in(reg) self.0, options(nostack, preserves_flags))
        };
        value
    }

    /// Writes it.
    #[inline(always)]
    pub fn write(self, value: u32) {
        // SAFETY: the type's invariant; memory below 4 GiB is mapped one to one.
        unsafe {
            asm!("mov [{}], {:e}", in(reg) self.0, in(reg) value, options(nostack, preserves_flags))
        };
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Device registers and memory that devices read.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// A block of device registers.
///
/// Accesses are single load and store instructions without write-back, because a hypervisor is told
/// of an access by the instruction's syndrome, and others have none.
///
/// # Invariants
///
/// Reads and writes at the offsets that its user knows have no effect on the memory of this
/// program.
#[derive(Clone, Copy, Debug)]
pub struct Mmio(u64);

impl Mmio {
    /// # Safety
    ///
    /// `address` must be the physical address of such a block.
    pub const unsafe fn new(address: u64) -> Self {
        Self(address)
    }

    /// The block `offset` bytes further.
    pub fn at(self, offset: u64) -> Self {
        Self(self.0 + offset)
    }

    /// Physical address.
    pub fn address(self) -> u64 {
        self.0
    }
}

/// What follows a read in the program comes after it; a write comes after what was stored to memory
/// before.
impl Mmio {
    /// Reads 32 bits.
    #[inline(always)]
    pub fn read32(self, offset: u64) -> u32 {
        let value: u32;
        // SAFETY: a read of a register, by the type's invariant; device memory is mapped one to
        // one.
        unsafe {
            asm!("ldr {:w}, [{}]", "dsb ld", out(reg) value, in(reg) self.0 + offset,
                options(nostack, preserves_flags))
        };
        value
    }

    /// Reads 64 bits.
    #[inline(always)]
    pub fn read64(self, offset: u64) -> u64 {
        let value: u64;
        // SAFETY: a read of a register, by the type's invariant; device memory is mapped one to
        // one.
        unsafe {
            asm!("ldr {}, [{}]", "dsb ld", out(reg) value, in(reg) self.0 + offset,
                options(nostack, preserves_flags))
        };
        value
    }

    /// Writes 8 bits.
    #[inline(always)]
    pub fn write8(self, offset: u64, value: u8) {
        // SAFETY: a write to a register, by the type's invariant; device memory is mapped one to
        // one.
        unsafe {
            asm!("dsb st", "strb {:w}, [{}]", in(reg) u32::from(value), in(reg) self.0 + offset,
                options(nostack, preserves_flags))
        };
    }

    /// Writes 32 bits.
    #[inline(always)]
    pub fn write32(self, offset: u64, value: u32) {
        // SAFETY: a write to a register, by the type's invariant; device memory is mapped one to
        // one.
        unsafe {
            asm!("dsb st", "str {:w}, [{}]", in(reg) value, in(reg) self.0 + offset,
                options(nostack, preserves_flags))
        };
    }

    /// Writes 64 bits.
    #[inline(always)]
    pub fn write64(self, offset: u64, value: u64) {
        // SAFETY: a write to a register, by the type's invariant; device memory is mapped one to
        // one.
        unsafe {
            asm!("dsb st", "str {}, [{}]", in(reg) value, in(reg) self.0 + offset,
                options(nostack, preserves_flags))
        };
    }
}

/// 64 KiB that a device reads and writes, aligned to their size.
#[repr(C, align(65536))]
pub struct DeviceMemory([AtomicU64; 8192]);

impl DeviceMemory {
    /// In bytes.
    pub const SIZE: usize = 65536;

    /// All zero.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 8192])
    }

    /// Physical address.
    pub fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    /// Writes a doubleword; one beyond the end is dropped.
    pub fn write64(&self, index: usize, value: u64) {
        if let Some(word) = self.0.get(index) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Writes a byte; one beyond the end is dropped. Nobody writes to its neighbours meanwhile.
    pub fn write8(&self, index: usize, value: u8) {
        let (word, byte) = (index / 8, index % 8);
        if let Some(word) = self.0.get(word) {
            let mut bytes = word.load(Ordering::Relaxed).to_le_bytes();
            bytes[byte] = value;
            word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
    }
}

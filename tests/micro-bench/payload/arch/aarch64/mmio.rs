// SPDX-License-Identifier: GPL-2.0

//! Device registers and memory that devices read.

use core::arch::asm;
use core::cell::UnsafeCell;

/// A block of device registers.
///
/// Accesses are single load and store instructions without write-back, because a hypervisor is told of an
/// access by the instruction's syndrome, and others have none.
///
/// # Invariants
///
/// Reads and writes at the offsets that its user knows have no effect on the memory of this program.
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

    /// Reads 32 bits; what follows in the program comes after it.
    #[inline(always)]
    pub fn read32(self, offset: u64) -> u32 {
        let value: u32;
        // SAFETY: the type's invariant; device memory is mapped one to one.
        unsafe {
            asm!("ldr {:w}, [{}]", "dsb ld", out(reg) value, in(reg) self.0 + offset,
                options(nostack, preserves_flags))
        };
        value
    }

    /// Writes 32 bits, after what was stored to memory before.
    #[inline(always)]
    pub fn write32(self, offset: u64, value: u32) {
        // SAFETY: the type's invariant; device memory is mapped one to one.
        unsafe {
            asm!("dsb st", "str {:w}, [{}]", in(reg) value, in(reg) self.0 + offset,
                options(nostack, preserves_flags))
        };
    }

    /// Writes 8 bits, after what was stored to memory before.
    pub fn write8(self, offset: u64, value: u8) {
        // SAFETY: the type's invariant; device memory is mapped one to one.
        unsafe {
            asm!("dsb st", "strb {:w}, [{}]", in(reg) u32::from(value), in(reg) self.0 + offset,
                options(nostack, preserves_flags))
        };
    }

    /// Reads 64 bits; what follows in the program comes after it.
    #[inline(always)]
    pub fn read64(self, offset: u64) -> u64 {
        let value: u64;
        // SAFETY: the type's invariant; device memory is mapped one to one.
        unsafe {
            asm!("ldr {}, [{}]", "dsb ld", out(reg) value, in(reg) self.0 + offset,
                options(nostack, preserves_flags))
        };
        value
    }

    /// Writes 64 bits, after what was stored to memory before.
    #[inline(always)]
    pub fn write64(self, offset: u64, value: u64) {
        // SAFETY: the type's invariant; device memory is mapped one to one.
        unsafe {
            asm!("dsb st", "str {}, [{}]", in(reg) value, in(reg) self.0 + offset,
                options(nostack, preserves_flags))
        };
    }
}

/// 64 KiB that a device reads and writes, aligned to their size.
#[repr(C, align(65536))]
pub struct DeviceMemory(UnsafeCell<[u64; 8192]>);

// SAFETY: it is accessed by volatile reads and writes only, and no reference to its content is ever made.
unsafe impl Sync for DeviceMemory {}

impl DeviceMemory {
    /// In bytes.
    pub const SIZE: usize = 65536;

    /// All zero.
    pub const fn new() -> Self {
        Self(UnsafeCell::new([0; 8192]))
    }

    /// Physical address.
    pub fn address(&self) -> u64 {
        self.0.get() as u64
    }

    /// Writes a doubleword; one beyond the end is dropped.
    pub fn write64(&self, index: usize, value: u64) {
        if index < Self::SIZE / 8 {
            // SAFETY: within the array, see above.
            unsafe { self.0.get().cast::<u64>().add(index).write_volatile(value) };
        }
    }

    /// Writes a byte; one beyond the end is dropped.
    pub fn write8(&self, index: usize, value: u8) {
        if index < Self::SIZE {
            // SAFETY: within the array, see above.
            unsafe { self.0.get().cast::<u8>().add(index).write_volatile(value) };
        }
    }
}

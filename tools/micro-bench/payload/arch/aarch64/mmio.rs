// SPDX-License-Identifier: GPL-2.0

//! Device registers and memory that devices read.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

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
}

/// Lists reads, as methods of [`Mmio`]; what follows in the program comes after one.
macro_rules! reads {
    ($($(#[$doc:meta])* $name:ident: $ty:ty = $instruction:literal;)*) => {
        impl Mmio {$(
            $(#[$doc])*
            #[inline(always)]
            pub fn $name(self, offset: u64) -> $ty {
                let value: $ty;
                // SAFETY: the type's invariant; device memory is mapped one to one.
                unsafe {
                    asm!($instruction, "dsb ld", out(reg) value, in(reg) self.0 + offset,
                        options(nostack, preserves_flags))
                };
                value
            }
        )*}
    };
}

reads! {
    /// Reads 32 bits.
    read32: u32 = "ldr {:w}, [{}]";
    /// Reads 64 bits.
    read64: u64 = "ldr {}, [{}]";
}

/// Lists writes, as methods of [`Mmio`]; one comes after what was stored to memory before.
macro_rules! writes {
    ($($(#[$doc:meta])* $name:ident: $ty:ty as $register:ty = $instruction:literal;)*) => {
        impl Mmio {$(
            $(#[$doc])*
            #[inline(always)]
            pub fn $name(self, offset: u64, value: $ty) {
                let value: $register = value.into();
                // SAFETY: the type's invariant; device memory is mapped one to one.
                unsafe {
                    asm!("dsb st", $instruction, in(reg) value, in(reg) self.0 + offset,
                        options(nostack, preserves_flags))
                };
            }
        )*}
    };
}

writes! {
    /// Writes 8 bits.
    write8: u8 as u32 = "strb {:w}, [{}]";
    /// Writes 32 bits.
    write32: u32 as u32 = "str {:w}, [{}]";
    /// Writes 64 bits.
    write64: u64 as u64 = "str {}, [{}]";
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

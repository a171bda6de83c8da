// SPDX-License-Identifier: GPL-2.0

//! Input and output ports.

use super::cpu;
use core::arch::asm;

/// An input and output port.
///
/// # Invariants
///
/// Accesses have no effect on the memory of this program.
#[derive(Clone, Copy, Debug)]
pub struct Port(u16);

impl Port {
    /// Reads 8 bits.
    #[inline(always)]
    pub fn read8(self) -> u8 {
        let value: u8;
        // SAFETY: a read of a port, which by the type's invariant has no effect on memory.
        unsafe {
            asm!("in al, dx", in("dx") self.0, out("al") value, options(nostack, preserves_flags))
        };
        value
    }

    /// Writes 8 bits.
    #[inline(always)]
    pub fn write8(self, value: u8) {
        // SAFETY: a write to a port, which by the type's invariant has no effect on memory.
        unsafe {
            asm!("out dx, al", in("dx") self.0, in("al") value, options(nostack, preserves_flags))
        };
    }

    /// Reads 16 bits.
    #[expect(dead_code, reason = "each width has both")]
    #[inline(always)]
    pub fn read16(self) -> u16 {
        let value: u16;
        // SAFETY: a read of a port, which by the type's invariant has no effect on memory.
        unsafe {
            asm!("in ax, dx", in("dx") self.0, out("ax") value, options(nostack, preserves_flags))
        };
        value
    }

    /// Writes 16 bits.
    #[inline(always)]
    pub fn write16(self, value: u16) {
        // SAFETY: a write to a port, which by the type's invariant has no effect on memory.
        unsafe {
            asm!("out dx, ax", in("dx") self.0, in("ax") value, options(nostack, preserves_flags))
        };
    }

    /// Reads 32 bits.
    #[inline(always)]
    pub fn read32(self) -> u32 {
        let value: u32;
        // SAFETY: a read of a port, which by the type's invariant has no effect on memory.
        unsafe {
            asm!("in eax, dx", in("dx") self.0, out("eax") value, options(nostack, preserves_flags))
        };
        value
    }

    /// Writes 32 bits.
    #[inline(always)]
    pub fn write32(self, value: u32) {
        // SAFETY: a write to a port, which by the type's invariant has no effect on memory.
        unsafe {
            asm!("out dx, eax", in("dx") self.0, in("eax") value, options(nostack, preserves_flags))
        };
    }
}

/// Masks of the two interrupt controllers (8259).
pub const PIC_MASKS: [Port; 2] = [Port(0x21), Port(0xa1)];
/// Edge or level register of the first interrupt controller; an in-kernel one answers without user
/// space.
pub const ELCR: Port = Port(0x4d0);
/// Index of the clock's registers (MC146818). Nothing happens before the data port is used.
pub const RTC_INDEX: Port = Port(0x70);
/// Address register of PCI configuration space. Nothing happens before the data port is used.
pub const PCI_ADDRESS: Port = Port(0xcf8);
/// Data register of PCI configuration space.
pub const PCI_DATA: Port = Port(0xcfc);
/// Where firmware shows its progress; writes have no effect, and nothing coalesces them.
pub const POST: Port = Port(0x80);
/// Timer (8254): data of channel 2, and command.
pub const PIT_CHANNEL2: Port = Port(0x42);
/// See [`PIT_CHANNEL2`].
pub const PIT_COMMAND: Port = Port(0x43);
/// Gate and output of timer channel 2.
pub const PIT_GATE: Port = Port(0x61);
/// QEMU's firmware configuration device: selector and data.
pub const FW_CFG_SELECT: Port = Port(0x510);
/// See [`FW_CFG_SELECT`].
pub const FW_CFG_DATA: Port = Port(0x511);
/// Serial port (16550): data and line status.
pub const UART_DATA: Port = Port(0x3f8);
/// See [`UART_DATA`].
pub const UART_STATUS: Port = Port(0x3fd);
/// QEMU's isa-debug-exit, where kvm-unit-tests expect it.
const DEBUG_EXIT: Port = Port(0xf4);

/// Hands the status to QEMU's exit device. Without one the processor is reset, at which
/// `-no-reboot` ends QEMU.
pub fn power_off(status: u8) -> ! {
    DEBUG_EXIT.write8(status);
    cpu::mask_interrupts();
    loop {
        // SAFETY: with an empty table of handlers the breakpoint ends in a triple fault, as is
        // meant.
        unsafe {
            asm!("lidt [{}]", "int3", in(reg) &raw const EMPTY, options(nostack));
        }
    }
}

/// A table of handlers that has none.
static EMPTY: [u16; 5] = [0; 5];

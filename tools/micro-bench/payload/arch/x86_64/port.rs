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

/// Lists widths of accesses, as methods of [`Port`], with the register that the instructions take.
macro_rules! widths {
    ($(
        $(#[$read_doc:meta])* $read:ident
        $(#[$write_doc:meta])* $write:ident: $ty:ty, $register:tt;
    )*) => {
        impl Port {$(
            $(#[$read_doc])*
            #[inline(always)]
            pub fn $read(self) -> $ty {
                let value: $ty;
                // SAFETY: the type's invariant.
                unsafe {
                    asm!(concat!("in ", $register, ", dx"), in("dx") self.0, out($register) value,
                        options(nostack, preserves_flags))
                };
                value
            }

            $(#[$write_doc])*
            #[inline(always)]
            pub fn $write(self, value: $ty) {
                // SAFETY: the type's invariant.
                unsafe {
                    asm!(concat!("out dx, ", $register), in("dx") self.0, in($register) value,
                        options(nostack, preserves_flags))
                };
            }
        )*}
    };
}

widths! {
    /// Reads 8 bits.
    read8
    /// Writes 8 bits.
    write8: u8, "al";
    /// Reads 16 bits.
    #[expect(dead_code, reason = "each width has both")]
    read16
    /// Writes 16 bits.
    write16: u16, "ax";
    /// Reads 32 bits.
    read32
    /// Writes 32 bits.
    write32: u32, "eax";
}

/// Masks of the two interrupt controllers (8259).
pub const PIC_MASKS: [Port; 2] = [Port(0x21), Port(0xa1)];
/// Edge or level register of the first interrupt controller; an in-kernel one answers without user space.
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

/// Hands the status to QEMU's exit device. Without one the processor is reset, at which `-no-reboot` ends QEMU.
pub fn power_off(status: u8) -> ! {
    DEBUG_EXIT.write8(status);
    cpu::mask_interrupts();
    loop {
        // SAFETY: with an empty table of handlers the breakpoint ends in a triple fault, as is meant.
        unsafe {
            asm!("lidt [{}]", "int3", in(reg) &raw const EMPTY, options(nostack));
        }
    }
}

/// A table of handlers that has none.
static EMPTY: [u16; 5] = [0; 5];

// SPDX-License-Identifier: GPL-2.0

//! Programs for guests.
//!
//! That for long mode is an interpreter: it goes through a list of [`Operation`]s and notes what
//! each of them took. That for real mode reads the clock and the host bridge as firmware does.

use std::arch::global_asm;

/// What an [`Operation`] does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// Halts. The next run goes on with the next operation.
    Halt = 0,
    /// `outb`.
    Out8,
    /// `outw`.
    Out16,
    /// `outl`.
    Out32,
    /// `inb`.
    In8,
    /// `inl`.
    In32,
    /// A write of one byte to memory.
    Store8,
    /// Of two bytes.
    Store16,
    /// Of four bytes.
    Store32,
    /// Of eight bytes.
    Store64,
    /// A read of four bytes of memory.
    Load32,
    /// `rep outsb` of the bytes of the value, lowest first.
    OutString,
}

impl Kind {
    /// The write of so many bytes to memory.
    ///
    /// # Panics
    ///
    /// If `len` is not 1, 2, 4 or 8.
    pub fn store(len: usize) -> Self {
        match len {
            1 => Self::Store8,
            2 => Self::Store16,
            4 => Self::Store32,
            8 => Self::Store64,
            _ => panic!("no store of {len} bytes"),
        }
    }

    /// The write of so many bytes to a port.
    ///
    /// # Panics
    ///
    /// If `len` is not 1, 2 or 4.
    pub fn out(len: usize) -> Self {
        match len {
            1 => Self::Out8,
            2 => Self::Out16,
            4 => Self::Out32,
            _ => panic!("no write of {len} bytes to a port"),
        }
    }
}

/// One or several equal accesses.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Operation {
    /// What to do.
    pub kind: Kind,
    /// How often; at least once. Writes write `value`, `value` + 1, and so on.
    pub count: u32,
    /// Port, or guest physical address.
    pub addr: u64,
    /// What to write. Afterwards: what was read last.
    pub value: u64,
    /// Afterwards: ticks of the time stamp counter that all of it took.
    pub cost: u64,
}

const _: () = assert!(std::mem::size_of::<Operation>() == 32);

impl Operation {
    /// One access.
    pub fn new(kind: Kind, addr: u64, value: u64) -> Self {
        Self::repeated(kind, addr, value, 1)
    }

    /// Several.
    pub fn repeated(kind: Kind, addr: u64, value: u64, count: u32) -> Self {
        Self {
            kind,
            count,
            addr,
            value,
            cost: 0,
        }
    }

    /// Halts.
    pub fn halt() -> Self {
        Self::new(Kind::Halt, 0, 0)
    }
}

// rbx points to the operation. All addresses are relative, so the code runs wherever it is copied
// to.
global_asm!(
    r#"
    .pushsection .rodata.siov_guest, "a"

    // The code that refers to them may be compiled into another object.
    .globl siov_guest_long, siov_guest_long_end, siov_guest_real, siov_guest_real_end
    .globl siov_guest_rom, siov_guest_rom_end

    .macro siov_repeat name, access:vararg
\name:
    \access
    inc rax
    dec r11d
    jnz \name
    jmp siov_guest_long_done
    .endm

    .macro siov_read name, access:vararg
\name:
    \access
    dec r11d
    jnz \name
    jmp siov_guest_long_done
    .endm

    .balign 16
siov_guest_long:
    mov edi, dword ptr [rbx]
    mov r11d, dword ptr [rbx + 4]
    mov r9, qword ptr [rbx + 8]
    mov r10, qword ptr [rbx + 16]
    lea r12, [rip + siov_guest_long_table]
    movsxd rdi, dword ptr [r12 + rdi * 4]
    add rdi, r12
    rdtsc
    shl rdx, 32
    or rax, rdx
    mov r8, rax
    mov rax, r10
    mov rdx, r9
    jmp rdi

siov_guest_long_done:
    mov qword ptr [rbx + 16], rax
    rdtsc
    shl rdx, 32
    or rax, rdx
    sub rax, r8
    mov qword ptr [rbx + 24], rax
    add rbx, 32
    jmp siov_guest_long

siov_guest_long_halt:
    hlt
    add rbx, 32
    jmp siov_guest_long

siov_guest_long_outs:
    lea rsi, [rbx + 16]
    mov ecx, r11d
    rep outsb
    jmp siov_guest_long_done

    siov_repeat siov_guest_long_out8, out dx, al
    siov_repeat siov_guest_long_out16, out dx, ax
    siov_repeat siov_guest_long_out32, out dx, eax
    siov_read siov_guest_long_in8, in al, dx
    siov_read siov_guest_long_in32, in eax, dx
    siov_repeat siov_guest_long_store8, mov byte ptr [rdx], al
    siov_repeat siov_guest_long_store16, mov word ptr [rdx], ax
    siov_repeat siov_guest_long_store32, mov dword ptr [rdx], eax
    siov_repeat siov_guest_long_store64, mov qword ptr [rdx], rax
    siov_read siov_guest_long_load32, mov eax, dword ptr [rdx]

    .balign 4
siov_guest_long_table:
    .long siov_guest_long_halt - siov_guest_long_table
    .long siov_guest_long_out8 - siov_guest_long_table
    .long siov_guest_long_out16 - siov_guest_long_table
    .long siov_guest_long_out32 - siov_guest_long_table
    .long siov_guest_long_in8 - siov_guest_long_table
    .long siov_guest_long_in32 - siov_guest_long_table
    .long siov_guest_long_store8 - siov_guest_long_table
    .long siov_guest_long_store16 - siov_guest_long_table
    .long siov_guest_long_store32 - siov_guest_long_table
    .long siov_guest_long_store64 - siov_guest_long_table
    .long siov_guest_long_load32 - siov_guest_long_table
    .long siov_guest_long_outs - siov_guest_long_table
siov_guest_long_end:

    // cx: rounds. di: where to put what was read, 5 bytes a round.
    .code16
siov_guest_real:
    mov al, cl
    and al, 0x7f
    out 0x70, al
    in al, 0x71
    stosb
    movzx eax, cx
    and eax, 3
    shl eax, 2
    or eax, 0x80000000
    mov dx, 0xcf8
    out dx, eax
    mov dx, 0xcfc
    in eax, dx
    stosd
    dec cx
    jnz siov_guest_real
    hlt
siov_guest_real_end:

    // What a processor runs after reset, as the last 64 KiB below 1 MiB. Says on port 0xe9 what it
    // has read: the clock's register 0x0d and the identity of function 00:00.0.
siov_guest_rom:
    mov cx, 300
2:
    mov al, cl
    and al, 0x7f
    out 0x70, al
    dec cx
    jnz 2b
    mov al, 0x0d
    out 0x70, al
    in al, 0x71
    out 0xe9, al
    mov cx, 599
    mov dx, 0xcf8
3:
    movzx eax, cx
    shl eax, 2
    and eax, 0xfc
    or eax, 0x80000000
    out dx, eax
    dec cx
    jnz 3b
    mov cx, 50
6:
    out dx, al
    dec cx
    jnz 6b
    mov eax, 0x80000000
    out dx, eax
    mov dx, 0xcfc
    in eax, dx
    mov cx, 4
4:
    out 0xe9, al
    shr eax, 8
    dec cx
    jnz 4b
    mov al, 0x2e
    out 0xe9, al
5:
    hlt
    jmp 5b
siov_guest_rom_end:
    .code64
    .popsection
    "#
);

extern "C" {
    static siov_guest_long: u8;
    static siov_guest_long_end: u8;
    static siov_guest_real: u8;
    static siov_guest_real_end: u8;
    static siov_guest_rom: u8;
    static siov_guest_rom_end: u8;
}

/// What lies between two labels.
///
/// # Safety
///
/// They are labels of the assembly above, the start of a program and its end, in read-only data.
unsafe fn between(start: *const u8, end: *const u8) -> &'static [u8] {
    let size = (end as usize).saturating_sub(start as usize);
    // SAFETY: The program lies there, as required of the caller, and nothing writes to it.
    unsafe { std::slice::from_raw_parts(start, size) }
}

/// The interpreter, for long mode: rbx points to the operations.
pub fn long_mode() -> &'static [u8] {
    // SAFETY: The labels of the interpreter.
    unsafe { between(&raw const siov_guest_long, &raw const siov_guest_long_end) }
}

/// The program for real mode: cx is the number of rounds, di where 5 bytes are put in each: those
/// of register cx & 127 of the clock, and of doubleword cx & 3 of function 00:00.0's configuration
/// space.
pub fn real_mode() -> &'static [u8] {
    // SAFETY: The labels of the program for real mode.
    unsafe { between(&raw const siov_guest_real, &raw const siov_guest_real_end) }
}

/// Writes of [`rom`] to the clock's index.
pub const ROM_CLOCK_WRITES: u64 = 301;
/// Writes of [`rom`] of the host bridge's address, four bytes each.
pub const ROM_BRIDGE_WRITES: u64 = 600;
/// Writes of [`rom`] to the first byte of that, which mean nothing to the bridge.
pub const ROM_BRIDGE_BYTE_WRITES: u64 = 50;
/// What the clock's register 0x0d says while its battery is good.
pub const ROM_CLOCK_VALID: u8 = 0x80;
/// The last thing that [`rom`] says.
pub const ROM_END: u8 = b'.';

/// Firmware for a PC: 64 KiB. Writes the index of the clock and the address of the PCI host bridge
/// again and again, reads what the last of these select, and says it on port 0xe9 (QEMU's
/// `-debugcon`).
pub fn rom() -> Vec<u8> {
    // SAFETY: The labels of the firmware.
    let code = unsafe { between(&raw const siov_guest_rom, &raw const siov_guest_rom_end) };
    let mut rom = vec![0; 0x1_0000];
    rom[..code.len()].copy_from_slice(code);
    // Where a processor begins: a jump to f000:0000.
    rom[0xfff0..0xfff5].copy_from_slice(&[0xea, 0, 0, 0, 0xf0]);
    rom
}

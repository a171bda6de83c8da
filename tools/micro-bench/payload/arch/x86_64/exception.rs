// SPDX-License-Identifier: GPL-2.0

//! Interrupt descriptor table. The test's interrupts are counted; anything else is reported and
//! ends the program.

use super::apic::{SPURIOUS_VECTOR, VECTOR};
use super::{boot, machine};
use crate::abort;
use crate::console::print;
use crate::irq;
use crate::once::Once;
use core::arch::{asm, global_asm};

/// Vectors that have a handler of their own: exceptions.
const EXCEPTIONS: usize = 32;
const VECTORS: usize = 256;

global_asm!(
    r#"
    .macro  save
    push    rax
    push    rcx
    push    rdx
    push    rbx
    push    rbp
    push    rsi
    push    rdi
    push    r8
    push    r9
    push    r10
    push    r11
    push    r12
    push    r13
    push    r14
    push    r15
    .endm

    .globl interrupt_entry, stray_entry, exception_entries
interrupt_entry:
    save
    cld
    mov     rbp, rsp
    and     rsp, -16
    call    {interrupt}
    mov     rsp, rbp
    pop     r15
    pop     r14
    pop     r13
    pop     r12
    pop     r11
    pop     r10
    pop     r9
    pop     r8
    pop     rdi
    pop     rsi
    pop     rbp
    pop     rbx
    pop     rdx
    pop     rcx
    pop     rax
    iretq

stray_entry:
    push    0
    push    -1
    jmp     exception_common

    // Sixteen bytes each. The processor pushes an error code for 8, 10 to 14, 17, 21, 29 and 30.
    .balign 16
exception_entries:
    .set    number, 0
    .rept   {exceptions}
    .balign 16
    .if     ((0x60227d00 >> number) & 1) == 0
    push    0
    .endif
    push    number
    jmp     exception_common
    .set    number, number + 1
    .endr

exception_common:
    save
    cld
    mov     rdi, rsp
    and     rsp, -16
    call    {unexpected}
"#,
    exceptions = const EXCEPTIONS,
    interrupt = sym interrupt,
    unexpected = sym unexpected,
);

extern "C" {
    // Code, known by address only.
    static interrupt_entry: u8;
    static stray_entry: u8;
    static exception_entries: u8;
}

/// What an exception saves.
#[repr(C)]
struct Frame {
    /// r15 to r8, rdi, rsi, rbp, rbx, rdx, rcx, rax.
    registers: [u64; 15],
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

const _: () = assert!(core::mem::size_of::<Frame>() == 22 * 8);

const NAMES: [&str; 15] = [
    "r15", "r14", "r13", "r12", "r11", "r10", "r9", "r8", "rdi", "rsi", "rbp", "rbx", "rdx", "rcx",
    "rax",
];

/// An entry of the table (Intel SDM volume 3, figure 7-8).
#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    low: u16,
    selector: u16,
    stack: u8,
    kind: u8,
    middle: u16,
    high: u32,
    reserved: u32,
}

const _: () = assert!(core::mem::size_of::<Gate>() == 16);

impl Gate {
    /// Present, 64-bit interrupt gate: interrupts stay masked in the handler.
    const INTERRUPT: u8 = 0x8e;

    const fn new(address: u64) -> Self {
        Self {
            low: address as u16,
            selector: boot::CODE64,
            stack: 0,
            kind: Self::INTERRUPT,
            middle: (address >> 16) as u16,
            high: (address >> 32) as u32,
            reserved: 0,
        }
    }
}

static TABLE: Once<[Gate; VECTORS]> = Once::new();

/// The operand of LIDT.
#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u64,
}

/// Gives this processor the table, which the first one makes.
pub fn load() {
    let table = TABLE.get().or_else(|| {
        let mut gates = [Gate::new(&raw const stray_entry as u64); VECTORS];
        for (vector, gate) in gates.iter_mut().enumerate().take(EXCEPTIONS) {
            *gate = Gate::new(&raw const exception_entries as u64 + 16 * vector as u64);
        }
        if let Some(gate) = gates.get_mut(usize::from(VECTOR)) {
            *gate = Gate::new(&raw const interrupt_entry as u64);
        }
        TABLE.set(gates)
    });
    if let Some(table) = table {
        let pointer = Pointer {
            limit: (core::mem::size_of_val(table) - 1) as u16,
            base: table.as_ptr() as u64,
        };
        // SAFETY: every gate leads to code that saves what it changes or never returns; the table
        // is static.
        unsafe {
            asm!("lidt [{}]", in(reg) &raw const pointer, options(nostack, readonly, preserves_flags))
        };
    }
}

extern "C" fn interrupt() {
    machine::end_of_interrupt();
    irq::record(u32::from(VECTOR));
}

/// Reports an exception that nobody expects, with the registers by name.
extern "C" fn unexpected(frame: &Frame) -> ! {
    let cr2: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr2", out(reg) cr2, options(nostack, preserves_flags)) };
    match u8::try_from(frame.vector) {
        Ok(vector) => print!("\nUnhandled exception: vector {vector} ({})", name(vector)),
        Err(_) => print!("\nUnexpected interrupt, none of {VECTOR:#x} and {SPURIOUS_VECTOR:#x}"),
    }
    print!(", error code {:#x}\n", frame.error);
    print!("cr2 {cr2:#018x}  rflags {:#x}\n", frame.rflags);
    print!(
        "rip {:#06x}:{:#018x}  rsp {:#06x}:{:#018x}\n",
        frame.cs, frame.rip, frame.ss, frame.rsp
    );
    for (index, (name, value)) in NAMES.iter().zip(frame.registers).enumerate() {
        print!(
            "{name:<3} {value:#018x}{}",
            if index % 3 == 2 { "\n" } else { "  " }
        );
    }
    abort()
}

/// Of exceptions (Intel SDM volume 3, table 7-1).
fn name(vector: u8) -> &'static str {
    match vector {
        0 => "divide error",
        3 => "breakpoint",
        6 => "invalid opcode",
        8 => "double fault",
        13 => "general protection",
        14 => "page fault",
        18 => "machine check",
        _ => "other",
    }
}

// SPDX-License-Identifier: GPL-2.0

//! From the loader to Rust.
//!
//! The loader finds the entry in an ELF note and enters in 32-bit protected mode without paging
//! (Xen's docs/misc/pvh.pandoc; also what Linux has as CONFIG_PVH). Memory below 4 GiB is mapped
//! one to one in pages of 2 MiB, the last GiB uncached, because device registers are there.
//!
//! Further processors begin in real mode, in a few bytes that are copied below the first MiB.

use super::{cpu, exception, machine, uart};
use crate::{console, exit, main};
use core::arch::global_asm;

/// Bytes of each processor's stack.
const STACK_SIZE: usize = 65536;
/// Where the start-up code of further processors is copied: a page below 1 MiB that neither the
/// BIOS nor the loader uses. The start-up interrupt carries its number.
pub const STARTUP_PAGE: u8 = 8;
const STARTUP: u64 = (STARTUP_PAGE as u64) << 12;

/// Selectors of the descriptor table.
const CODE32: u16 = 0x08;
const DATA: u16 = 0x10;
/// See [`CODE32`].
pub const CODE64: u16 = 0x18;

global_asm!(
    r#"
    .section .note.pvh, "a", @note
    .balign 4
    .long   4, 8, 18                // sizes of name and content; XEN_ELFNOTE_PHYS32_ENTRY
    .asciz  "Xen"
    .quad   _start

    .text
    .code32
    .globl _start
_start:
    cli
    cld
    movl    $stacks + {stack_size}, %esp
    movl    %ebx, %ebp              // start info

    // One page of level 4, one of level 3, four of level 2.
    movl    $tables, %edi
    leal    0x1003(%edi), %eax
    movl    %eax, (%edi)
    leal    0x2003(%edi), %eax
    movl    $4, %ecx
    leal    0x1000(%edi), %edx
1:  movl    %eax, (%edx)
    addl    $0x1000, %eax
    addl    $8, %edx
    loop    1b
    movl    $0x83, %eax             // present, writable, 2 MiB
    movl    $2048, %ecx
    leal    0x2000(%edi), %edx
2:  cmpl    $0xc0000000, %eax
    jb      3f
    orl     $0x18, %eax             // uncached
3:  movl    %eax, (%edx)
    addl    $0x200000, %eax
    addl    $8, %edx
    loop    2b

    lgdt    descriptors_pointer
    call    enter_long_mode
    ljmp    ${code64}, $5f

enter_long_mode:
    movl    %cr4, %eax
    orl     $0x20, %eax             // PAE
    movl    %eax, %cr4
    movl    $tables, %eax
    movl    %eax, %cr3
    movl    $0xc0000080, %ecx       // EFER.LME
    rdmsr
    orl     $0x100, %eax
    wrmsr
    movl    %cr0, %eax
    andl    $0x9fffffff, %eax       // caches on
    orl     $0x80000001, %eax       // PG, PE
    movl    %eax, %cr0
    ret

    // Further processors; the first one here gets the stack, the others sleep.
    .globl secondary_entry32
secondary_entry32:
    movw    ${data}, %ax
    movw    %ax, %ds
    movw    %ax, %es
    movw    %ax, %ss
    movl    $1, %eax
    xchgl   %eax, second_is_there
    testl   %eax, %eax
    jz      4f
6:  hlt
    jmp     6b
4:  movl    $stacks + 2 * {stack_size}, %esp
    call    enter_long_mode
    ljmp    ${code64}, $7f

    .code64
5:  movw    ${data}, %ax
    movw    %ax, %ds
    movw    %ax, %es
    movw    %ax, %ss
    movl    %ebp, %edi
    call    {primary}

7:  movw    ${data}, %ax
    movw    %ax, %ds
    movw    %ax, %es
    movw    %ax, %ss
    call    {secondary}

    // Copied to {startup}; one page, no reference to itself but by its place there.
    .globl startup_begin, startup_end
    .code16
startup_begin:
    cli
    xorw    %ax, %ax
    movw    %ax, %ds
    lgdtl   {startup} + (9f - startup_begin)
    movl    %cr0, %eax
    orl     $1, %eax
    movl    %eax, %cr0
    ljmpl   ${code32}, $secondary_entry32
9:  .word   8f - descriptors - 1
    .long   descriptors
startup_end:
    .code64

    .section .rodata.descriptors, "a"
    .balign 8
descriptors:
    .quad   0
    .quad   0x00cf9a000000ffff      // 32-bit code
    .quad   0x00cf92000000ffff      // data
    .quad   0x00af9a000000ffff      // 64-bit code
8:
descriptors_pointer:
    .word   8b - descriptors - 1
    .long   descriptors

    .section .bss.stacks, "aw", @nobits
    .balign 4096
tables:
    .skip   6 * 4096
stacks:
    .skip   2 * {stack_size}
second_is_there:
    .skip   16
    .text
"#,
    stack_size = const STACK_SIZE,
    startup = const STARTUP,
    code32 = const CODE32,
    code64 = const CODE64,
    data = const DATA,
    primary = sym primary,
    secondary = sym secondary,
    options(att_syntax),
);

extern "C" {
    static startup_begin: u8;
    static startup_end: u8;
}

/// Copies the start-up code of further processors to [`STARTUP_PAGE`].
pub fn install_startup() {
    let (begin, end) = (&raw const startup_begin, &raw const startup_end);
    let size = (end as usize).saturating_sub(begin as usize);
    for offset in 0..size {
        // SAFETY: between the two symbols.
        let byte = unsafe { begin.wrapping_add(offset).read() };
        let to = (STARTUP as *mut u8).wrapping_add(offset);
        // SAFETY: memory that nobody uses, and to which there is no reference.
        unsafe { to.write_volatile(byte) };
    }
}

/// What the loader hands over (xen/include/public/arch-x86/hvm/start_info.h), as far as it is used.
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    modules_address: u64,
    command_line: u64,
}

const _: () = assert!(core::mem::offset_of!(StartInfo, command_line) == 24);

const START_INFO_MAGIC: u32 = 0x336e_c578;

/// Longest command line that is read.
const MAX_LINE: usize = 4096;

/// The command line; empty if there is none.
fn command_line(info: &'static StartInfo) -> &'static str {
    if info.magic != START_INFO_MAGIC || info.command_line == 0 {
        return "";
    }
    // SAFETY: the loader put a string there, which nothing writes to, below 4 GiB, where all memory
    // is mapped.
    let bytes = unsafe { core::slice::from_raw_parts(info.command_line as *const u8, MAX_LINE) };
    let line = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    core::str::from_utf8(line).unwrap_or("")
}

/// On the first processor, in long mode with a stack. The loader put the structure where it says,
/// below 4 GiB and 8-byte aligned, and nothing writes there.
extern "C" fn primary(start_info: &'static StartInfo) -> ! {
    exception::load();
    console::init(uart::Uart::first());
    exit(main(command_line(start_info), machine::Machine::detect))
}

/// On the second processor.
extern "C" fn secondary() -> ! {
    exception::load();
    machine::enter_second();
    loop {
        cpu::relax();
    }
}

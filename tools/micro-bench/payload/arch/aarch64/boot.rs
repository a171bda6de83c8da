// SPDX-License-Identifier: GPL-2.0

//! From the loader to Rust.
//!
//! The image has the header of Documentation/arch/arm64/booting.rst of Linux and runs wherever it
//! is loaded: it relocates itself. Started at EL2 it stays there if the virtualization host
//! extensions let EL1's register names mean EL2's; without them it goes on at EL1.
//!
//! Memory is mapped one to one in blocks of 1 GiB: those that hold the image and the devicetree as
//! normal memory, all others as device memory. That is what caches and unaligned accesses need, and
//! all there is to protect is ourselves.

use super::tree;
use crate::{exit, main};
use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// Bytes of each processor's stack.
const STACK_SIZE: usize = 65536;
/// Entries of the translation table: 512 GiB in blocks of 1 GiB.
const TABLE_ENTRIES: usize = 512;
const BLOCK_SHIFT: u32 = 30;

// MAIR_EL1 attributes by index: 0 Device-nGnRE, 1 Normal write-back.
const MAIR: u64 = 0xff04;
// TCR_EL1 (Arm ARM D24.2): 39-bit addresses, 4 KiB granule, write-back and inner shareable walks,
// no TTBR1.
const TCR: u64 = 25 | (1 << 8) | (1 << 10) | (3 << 12) | (1 << 23);
// SCTLR_EL1 with what is reserved as one, all else off; then MMU and caches on.
const SCTLR_OFF: u64 = 0x30d0_0800;
const SCTLR_ON: u64 = SCTLR_OFF | 1 | (1 << 2) | (1 << 12);
// HCR_EL2: EL1 is AArch64 (RW); with host extensions EL2 is the home of an operating system (TGE,
// E2H).
const HCR_EL1: u64 = 1 << 31;
const HCR_HOST: u64 = (1 << 31) | (1 << 27) | (1 << 34);
// Block descriptors: valid block, access flag; normal memory is inner shareable, device memory
// never executes.
const NORMAL: u64 = 1 | (1 << 2) | (3 << 8) | (1 << 10);
const DEVICE: u64 = 1 | (1 << 10) | (3 << 53);

global_asm!(
    r#"
    .section .head.text, "ax"
    .globl _start
_start:
    b       primary_entry
    .long   0
    .quad   0                       // text offset
    .quad   _image_size
    .quad   0xa                     // little-endian, 4 KiB pages, anywhere
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

primary_entry:
    mov     x20, x0                 // devicetree
    bl      enter_level

    // R_AARCH64_RELATIVE is the only kind of relocation: place, type, addend.
    adrp    x0, _start
    add     x0, x0, :lo12:_start
    adrp    x1, __rela_start
    add     x1, x1, :lo12:__rela_start
    adrp    x2, __rela_end
    add     x2, x2, :lo12:__rela_end
1:  cmp     x1, x2
    b.hs    2f
    ldr     x3, [x1]
    ldr     x4, [x1, #16]
    add     x4, x4, x0
    str     x4, [x0, x3]
    add     x1, x1, #24
    b       1b

2:  adrp    x1, __bss_start
    add     x1, x1, :lo12:__bss_start
    adrp    x2, __bss_end
    add     x2, x2, :lo12:__bss_end
3:  cmp     x1, x2
    b.hs    4f
    stp     xzr, xzr, [x1], #16
    b       3b

4:  adrp    x1, stacks
    add     x1, x1, :lo12:stacks
    add     sp, x1, #{stack_size}
    adrp    x0, table
    add     x0, x0, :lo12:table
    adrp    x1, _start
    add     x1, x1, :lo12:_start
    mov     x2, x20
    bl      {fill_table}

    // What was written with the MMU off must not be hidden by older lines of the caches.
    adrp    x0, _start
    adrp    x1, __bss_end
    add     x1, x1, :lo12:__bss_end
5:  dc      ivac, x0
    add     x0, x0, #16             // the smallest line there is
    cmp     x0, x1
    b.lo    5b
    dsb     sy

    bl      enable_mmu
    mov     x0, x20
    bl      {primary}

    .globl secondary_entry
secondary_entry:
    bl      enter_level
    bl      enable_mmu
    adrp    x1, stacks
    add     x1, x1, :lo12:stacks
    add     x1, x1, #{stack_size}
    add     sp, x1, #{stack_size}
    bl      {secondary}

    // Interrupts masked, MMU off, vectors installed. At EL2 without host extensions: down to EL1.
enter_level:
    msr     daifset, #0xf
    mrs     x0, CurrentEL
    cmp     x0, #(2 << 2)
    b.ne    3f
    mrs     x0, id_aa64mmfr1_el1
    ubfx    x0, x0, #8, #4          // VH
    cbz     x0, 1f
    movz    x0, #{hcr_host_low}, lsl #16
    movk    x0, #{hcr_host_high}, lsl #32
    msr     hcr_el2, x0
    isb
    b       3f

1:  mov     x0, #{hcr_el1}
    msr     hcr_el2, x0
    mrs     x0, cnthctl_el2
    orr     x0, x0, #3              // physical counter and timer
    msr     cnthctl_el2, x0
    msr     cntvoff_el2, xzr
    mov     x0, #0x33ff             // no traps of floating point
    msr     cptr_el2, x0
    msr     hstr_el2, xzr
    mrs     x0, midr_el1
    msr     vpidr_el2, x0
    mrs     x0, mpidr_el1
    msr     vmpidr_el2, x0
    movz    x0, #{sctlr_low}
    movk    x0, #{sctlr_high}, lsl #16
    msr     sctlr_el1, x0
    mrs     x0, id_aa64pfr0_el1
    ubfx    x0, x0, #24, #4         // GIC system registers
    cbz     x0, 2f
    mrs     x0, S3_4_C12_C9_5       // ICC_SRE_EL2: SRE, Enable
    orr     x0, x0, #1
    orr     x0, x0, #8
    msr     S3_4_C12_C9_5, x0
    isb
2:  mov     x0, #0x3c5              // EL1h, all masked
    msr     spsr_el2, x0
    msr     elr_el2, x30
    eret

3:  movz    x0, #{sctlr_low}
    movk    x0, #{sctlr_high}, lsl #16
    msr     sctlr_el1, x0
    msr     spsel, #1
    isb
    ret

enable_mmu:
    tlbi    vmalle1
    dsb     nsh
    mov     x0, #{mair}
    msr     mair_el1, x0
    movz    x0, #{tcr_low}
    movk    x0, #{tcr_high}, lsl #16
    mrs     x1, id_aa64mmfr0_el1
    bfi     x0, x1, #32, #3         // PARange is what IPS means
    msr     tcr_el1, x0
    adrp    x0, table
    add     x0, x0, :lo12:table
    msr     ttbr0_el1, x0
    adrp    x0, vectors
    add     x0, x0, :lo12:vectors
    msr     vbar_el1, x0
    isb
    movz    x0, #{on_low}
    movk    x0, #{on_high}, lsl #16
    msr     sctlr_el1, x0
    isb
    ret

    .section .bss.stacks, "aw", %nobits
    .balign 4096
table:
    .skip   8 * {entries}
stacks:
    .skip   2 * {stack_size}
    .text
"#,
    stack_size = const STACK_SIZE,
    entries = const TABLE_ENTRIES,
    hcr_host_low = const (HCR_HOST >> 16) & 0xffff,
    hcr_host_high = const HCR_HOST >> 32,
    hcr_el1 = const HCR_EL1,
    sctlr_low = const SCTLR_OFF & 0xffff,
    sctlr_high = const SCTLR_OFF >> 16,
    on_low = const SCTLR_ON & 0xffff,
    on_high = const SCTLR_ON >> 16,
    mair = const MAIR,
    tcr_low = const TCR & 0xffff,
    tcr_high = const TCR >> 16,
    fill_table = sym fill_table,
    primary = sym primary,
    secondary = sym secondary,
);

/// Fills the translation table, with the MMU still off: plain stores only. `image` and `tree` lie
/// in memory.
extern "C" fn fill_table(table: &[AtomicU64; TABLE_ENTRIES], image: u64, tree: u64) {
    for (block, entry) in (0..).zip(table) {
        let is_memory = [image, tree]
            .iter()
            .any(|place| place >> BLOCK_SHIFT == block);
        let attributes = if is_memory { NORMAL } else { DEVICE };
        entry.store((block << BLOCK_SHIFT) | attributes, Ordering::Relaxed);
    }
}

extern "C" {
    /// Where a second processor begins; an address, not a function to call.
    fn secondary_entry();
}

/// Physical address where a second processor begins.
pub fn secondary_address() -> u64 {
    secondary_entry as *const () as u64
}

/// On the first processor, with MMU, stack and vectors.
extern "C" fn primary(tree: u64) -> ! {
    // SAFETY: the loader passes the address, or 0.
    let status = match unsafe { tree::Tree::at(tree) } {
        Some(tree) => {
            tree.open_console();
            main(tree.command_line(), |args| {
                super::Machine::detect(&tree, args)
            })
        }
        None => micro_bench_model::output::EXIT_USAGE,
    };
    exit(status)
}

/// On the second processor.
extern "C" fn secondary() -> ! {
    super::machine::enter_second()
}

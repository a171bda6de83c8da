// SPDX-License-Identifier: GPL-2.0

//! Exception vectors. Interrupts are counted; anything else is reported and ends the program.

use super::cpu::{read_sysreg, write_sysreg};
use super::gic::GIC;
use crate::console::print;
use crate::once::Once;
use crate::{abort, irq};
use core::arch::global_asm;
use core::mem::{offset_of, size_of};

/// What an exception saves: all registers, because a report shows them.
#[repr(C)]
pub struct Frame {
    /// x0 to x30.
    registers: [u64; 31],
    /// ELR_EL1.
    return_address: u64,
    /// SPSR_EL1.
    state: u64,
    /// The stack pointer stays 16-byte aligned.
    padding: u64,
}

const _: () = assert!(size_of::<Frame>() == 272 && size_of::<Frame>() & 15 == 0);
const _: () = assert!(offset_of!(Frame, return_address) == 248 && offset_of!(Frame, state) == 256);

global_asm!(
    r#"
    .macro  vector kind
    .balign 128
    sub     sp, sp, #{size}
    stp     x0, x1, [sp]
    mov     x1, #\kind
    b       exception_\kind
    .endm

    .macro  handle kind, handler
exception_\kind:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x2, elr_el1
    mrs     x3, spsr_el1
    stp     x30, x2, [sp, #240]
    str     x3, [sp, #{state}]
    mov     x0, sp
    bl      \handler
    ldr     x3, [sp, #{state}]
    ldp     x30, x2, [sp, #240]
    msr     elr_el1, x2
    msr     spsr_el1, x3
    ldp     x28, x29, [sp, #224]
    ldp     x26, x27, [sp, #208]
    ldp     x24, x25, [sp, #192]
    ldp     x22, x23, [sp, #176]
    ldp     x20, x21, [sp, #160]
    ldp     x18, x19, [sp, #144]
    ldp     x16, x17, [sp, #128]
    ldp     x14, x15, [sp, #112]
    ldp     x12, x13, [sp, #96]
    ldp     x10, x11, [sp, #80]
    ldp     x8, x9, [sp, #64]
    ldp     x6, x7, [sp, #48]
    ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp]
    add     sp, sp, #{size}
    eret
    .endm

    .text
    .balign 2048
vectors:                            // from the current level with SP_EL0
    vector  0
    vector  1
    vector  2
    vector  3
    vector  4                       // from the current level with SP_ELx
    vector  5
    vector  6
    vector  7
    vector  8                       // from a lower level, which there is none
    vector  9
    vector  10
    vector  11
    vector  12
    vector  13
    vector  14
    vector  15

    handle  5, {interrupt}
    .irp    kind, 0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    .equ    exception_\kind, exception_other
    .endr
    .macro  handle_other
    handle  other, {unexpected}
    .endm
    handle_other
"#,
    size = const size_of::<Frame>(),
    state = const offset_of!(Frame, state),
    interrupt = sym interrupt,
    unexpected = sym unexpected,
);

/// Number of the timer's interrupt, which lasts until the timer is told to be quiet.
static TIMER: Once<u32> = Once::new();

/// From now on `id` is the timer's interrupt.
pub fn set_timer(id: u32) {
    TIMER.set(id);
}

/// CNTV_CTL_EL0: enabled; output masked.
pub const TIMER_ENABLE: u64 = 1;
/// See [`TIMER_ENABLE`].
pub const TIMER_MASK: u64 = 2;

/// Switches the timer on, and its interrupt off.
#[inline(always)]
pub fn mask_timer() {
    let control = TIMER_ENABLE | TIMER_MASK;
    // SAFETY: the timer does nothing without its interrupt.
    unsafe { write_sysreg!("cntv_ctl_el0", control) };
}

extern "C" fn interrupt(_frame: &Frame) {
    let Some(gic) = GIC.get() else { return };
    let acknowledged = gic.acknowledge();
    let id = gic.id(acknowledged);
    gic.end(acknowledged);
    if TIMER.get() == Some(&id) {
        mask_timer();
        super::cpu::barrier();
    }
    irq::record(id);
}

/// Reports an exception that nobody expects, with the registers by name.
extern "C" fn unexpected(frame: &Frame, vector: u64) -> ! {
    // SAFETY: the read has no effect.
    let esr: u64 = unsafe { read_sysreg!("esr_el1") };
    // SAFETY: the read has no effect.
    let far: u64 = unsafe { read_sysreg!("far_el1") };
    print!(
        "\nUnhandled exception: vector {vector}, ec {:#x} ({})\n",
        (esr >> 26) & 0x3f,
        class((esr >> 26) & 0x3f)
    );
    print!("esr {esr:#018x}  far {far:#018x}\n");
    print!(
        "pc  {:#018x}  pstate {:#x}\n",
        frame.return_address, frame.state
    );
    for (number, value) in frame.registers.iter().enumerate() {
        print!(
            "x{number:<2} {value:#018x}{}",
            if number % 3 == 2 { "\n" } else { "  " }
        );
    }
    print!("\n");
    abort()
}

/// Exception class of ESR_EL1 (Arm ARM D24.2.45).
fn class(class: u64) -> &'static str {
    match class {
        0x00 => "unknown",
        0x0e => "illegal execution state",
        0x18 => "system register",
        0x20 | 0x21 => "instruction abort",
        0x22 => "PC alignment",
        0x24 | 0x25 => "data abort",
        0x26 => "SP alignment",
        0x2f => "SError",
        _ => "other",
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Instructions and model-specific registers (Intel SDM, AMD APM).

use core::arch::asm;
use core::arch::x86_64 as intrinsics;

/// Completes what came before, as far as the instruction stream goes.
#[inline(always)]
pub fn barrier() {
    // SAFETY: orders instructions, and changes nothing.
    unsafe { asm!("lfence", options(nostack, preserves_flags)) };
}

/// What a waiting loop does.
#[inline(always)]
pub fn relax() {
    // SAFETY: a hint.
    unsafe { asm!("pause", options(nostack, preserves_flags)) };
}

/// Lets interrupts in.
#[inline(always)]
pub fn unmask_interrupts() {
    // SAFETY: handlers for all vectors are installed before Rust comes as far; they keep all
    // registers.
    unsafe { asm!("sti", options(nostack, preserves_flags)) };
}

/// Keeps interrupts out.
#[inline(always)]
pub fn mask_interrupts() {
    // SAFETY: changes nothing that Rust uses.
    unsafe { asm!("cli", options(nostack, preserves_flags)) };
}

/// The time-stamp counter.
#[inline(always)]
pub fn counter() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads a counter.
    unsafe { asm!("rdtsc", out("eax") low, out("edx") high, options(nostack, preserves_flags)) };
    (u64::from(high) << 32) | u64::from(low)
}

/// A leaf of CPUID; it always exits to the hypervisor.
#[inline(always)]
pub fn cpuid(leaf: u32) -> intrinsics::CpuidResult {
    // Newer compilers know that.
    #[allow(unused_unsafe)]
    // SAFETY: every 64-bit processor has the instruction.
    unsafe {
        intrinsics::__cpuid_count(leaf, 0)
    }
}

/// Model-specific registers.
#[derive(Clone, Copy, Debug)]
pub enum Msr {
    /// Offset of the time-stamp counter that software has set; reads and writes exit.
    TscAdjust = 0x3b,
    /// Address of the local APIC.
    ApicBase = 0x1b,
}

/// Reads a register.
#[inline(always)]
pub fn rdmsr(register: Msr) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the registers of the type exist where they are used, and reading them changes
    // nothing.
    unsafe {
        asm!("rdmsr", in("ecx") register as u32, out("eax") low, out("edx") high, options(nostack, preserves_flags))
    };
    (u64::from(high) << 32) | u64::from(low)
}

/// Writes a register.
///
/// # Safety
///
/// The value does not change what memory the code uses.
#[inline(always)]
pub unsafe fn wrmsr(register: Msr, value: u64) {
    // SAFETY: the registers of the type exist where they are used; the rest is required of the
    // caller.
    unsafe {
        asm!("wrmsr", in("ecx") register as u32, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags))
    };
}

/// The instruction that calls a hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hypercall {
    /// Intel.
    Vmcall,
    /// AMD.
    Vmmcall,
}

/// A hypercall number that KVM does not define, and its answer, -KVM_ENOSYS
/// (Documentation/virt/kvm/x86/hypercalls.rst).
const NO_SUCH_CALL: u64 = 0x4b00_0000;
/// See [`empty_call`].
pub const ENOSYS: u64 = -1000i64 as u64;

/// A call that does nothing: there, back, and [`ENOSYS`].
#[inline(always)]
pub fn empty_call(instruction: Hypercall) -> u64 {
    let mut result = NO_SUCH_CALL;
    match instruction {
        Hypercall::Vmcall => {
            // SAFETY: a call that nobody implements changes RAX alone.
            unsafe { asm!("vmcall", inout("rax") result, options(nostack)) };
        }
        Hypercall::Vmmcall => {
            // SAFETY: a call that nobody implements changes RAX alone.
            unsafe { asm!("vmmcall", inout("rax") result, options(nostack)) };
        }
    }
    result
}

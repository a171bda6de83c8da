// SPDX-License-Identifier: GPL-2.0

//! Instructions and model-specific registers (Intel SDM, AMD APM).

use crate::instruction::instructions;
use core::arch::asm;
use core::arch::x86_64 as intrinsics;

// SAFETY: barrier and hint; handlers for all vectors are installed before Rust comes as far as letting
// interrupts in.
instructions!(unsafe {
    /// Completes what came before, as far as the instruction stream goes.
    fn barrier() = "lfence";
    /// What a waiting loop does.
    fn relax() = "pause";
    /// Lets interrupts in.
    fn unmask_interrupts() = "sti";
    /// Keeps interrupts out.
    fn mask_interrupts() = "cli";
});

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
    // SAFETY: the registers of the type exist where they are used, and reading them changes nothing.
    unsafe {
        asm!("rdmsr", in("ecx") register as u32, out("eax") low, out("edx") high, options(nostack, preserves_flags))
    };
    (u64::from(high) << 32) | u64::from(low)
}

/// Writes a register.
#[inline(always)]
pub fn wrmsr(register: Msr, value: u64) {
    // SAFETY: none of the type's registers changes what memory the code uses.
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
    // SAFETY: a call that nobody implements changes RAX alone.
    unsafe {
        match instruction {
            Hypercall::Vmcall => asm!("vmcall", inout("rax") result, options(nostack)),
            Hypercall::Vmmcall => asm!("vmmcall", inout("rax") result, options(nostack)),
        }
    };
    result
}

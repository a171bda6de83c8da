// SPDX-License-Identifier: GPL-2.0

//! Calls to firmware or hypervisor: PSCI (Arm DEN 0022) over the SMC calling convention (DEN 0028).

use super::cpu::{self, Mpidr};
use crate::once::Once;
use core::arch::asm;

/// The instruction that reaches who answers, as the devicetree says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// A hypervisor at EL2.
    Hvc,
    /// Firmware at EL3, or a hypervisor that traps it.
    Smc,
}

/// "Not supported" of PSCI and of the calling convention.
pub const NOT_SUPPORTED: i32 = -1;

const SYSTEM_OFF: u32 = 0x8400_0008;
const CPU_OFF: u32 = 0x8400_0002;
const CPU_ON_64: u64 = 0xc400_0003;
/// A number of the hypervisor service range that no hypervisor defines; the answer is
/// [`NOT_SUPPORTED`].
const NO_SUCH_CALL: u32 = 0x4b00_0000;

static CONDUIT: Once<Conduit> = Once::new();

/// A call by the SMC calling convention, whose clobbered registers are listed: unsafe, for it has
/// effects.
macro_rules! call {
    ($instruction:literal, $function:expr, $a:expr, $b:expr, $c:expr) => {{
        let result: u64;
        asm!($instruction, inlateout("x0") $function => result,
            inlateout("x1") $a => _, inlateout("x2") $b => _, inlateout("x3") $c => _,
            lateout("x4") _, lateout("x5") _, lateout("x6") _, lateout("x7") _, lateout("x8") _,
            lateout("x9") _, lateout("x10") _, lateout("x11") _, lateout("x12") _, lateout("x13") _,
            lateout("x14") _, lateout("x15") _, lateout("x16") _, lateout("x17") _, options(nostack));
        result
    }};
}

/// Sets the conduit for this machine.
pub fn init(conduit: Conduit) {
    CONDUIT.set(conduit);
}

/// Starts another processor at a physical address. Returns PSCI's error code, zero for success;
/// without a conduit [`NOT_SUPPORTED`].
///
/// # Safety
///
/// What is at the address can be run by another processor, without a stack.
pub unsafe fn cpu_on(cpu: Mpidr, entry: u64) -> i32 {
    let function = CPU_ON_64;
    let result: u64 = match CONDUIT.get() {
        // SAFETY: as required of the caller.
        Some(Conduit::Hvc) => unsafe { call!("hvc #0", function, cpu.bits(), entry, 0u64) },
        // SAFETY: as required of the caller.
        Some(Conduit::Smc) => unsafe { call!("smc #0", function, cpu.bits(), entry, 0u64) },
        None => return NOT_SUPPORTED,
    };
    result as i32
}

/// Switches this processor off. An interrupt that waits for it does not wake it, as it would from
/// WFI.
pub fn cpu_off() -> ! {
    match CONDUIT.get() {
        // SAFETY: ends this processor.
        Some(Conduit::Hvc) => unsafe { call!("hvc #0", u64::from(CPU_OFF), 0u64, 0u64, 0u64) },
        // SAFETY: ends this processor.
        Some(Conduit::Smc) => unsafe { call!("smc #0", u64::from(CPU_OFF), 0u64, 0u64, 0u64) },
        None => 0,
    };
    cpu::halt()
}

/// Switches the machine off. There is no way to hand over the status, which was printed.
pub fn power_off(_status: u8) -> ! {
    match CONDUIT.get() {
        // SAFETY: ends the machine.
        Some(Conduit::Hvc) => unsafe { call!("hvc #0", u64::from(SYSTEM_OFF), 0u64, 0u64, 0u64) },
        // SAFETY: ends the machine.
        Some(Conduit::Smc) => unsafe { call!("smc #0", u64::from(SYSTEM_OFF), 0u64, 0u64, 0u64) },
        None => 0,
    };
    cpu::halt()
}

/// [`NO_SUCH_CALL`]: unsafe, for what the hypervisor makes of it.
macro_rules! empty_call {
    ($instruction:literal) => {{
        let result: u32;
        asm!("mov w0, {number}", $instruction, number = const NO_SUCH_CALL, out("w0") result,
            lateout("x1") _, lateout("x2") _, lateout("x3") _, options(nostack));
        result
    }};
}

/// A call that does nothing: there, back, and "not supported".
#[inline(always)]
pub fn empty_call(conduit: Conduit) -> i32 {
    let result: u32 = match conduit {
        // SAFETY: a call that nobody implements changes the registers of the convention alone.
        Conduit::Hvc => unsafe { empty_call!("hvc #0") },
        // SAFETY: a call that nobody implements changes the registers of the convention alone.
        Conduit::Smc => unsafe { empty_call!("smc #0") },
    };
    result as i32
}

// SPDX-License-Identifier: GPL-2.0

//! System registers and instructions (Arm ARM, DDI 0487).

/// Reads a system register: unsafe, for the read may have effects.
macro_rules! read_sysreg {
    ($name:literal) => {{
        let value: u64;
        core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value, options(nostack, preserves_flags));
        value
    }};
}
pub(super) use read_sysreg;

/// Writes the value of a variable to a system register: unsafe, for it has effects.
macro_rules! write_sysreg {
    ($name:literal, $value:ident) => {
        core::arch::asm!(concat!("msr ", $name, ", {}"), in(reg) $value, options(nostack, preserves_flags))
    };
}
pub(super) use write_sysreg;

/// Completes what came before, as far as the instruction stream goes.
#[inline(always)]
pub fn barrier() {
    // SAFETY: orders instructions, and changes nothing.
    unsafe { core::arch::asm!("isb", options(nostack, preserves_flags)) };
}

/// Has earlier accesses to memory reach the other processors.
#[inline(always)]
pub fn data_barrier() {
    // SAFETY: orders accesses, and changes nothing.
    unsafe { core::arch::asm!("dsb ish", options(nostack, preserves_flags)) };
}

/// What a waiting loop does: hand the time to another thread of the core, or to another virtual
/// processor.
#[inline(always)]
pub fn relax() {
    // SAFETY: a hint.
    unsafe { core::arch::asm!("yield", options(nostack, preserves_flags)) };
}

/// Lets interrupts in.
#[inline(always)]
pub fn unmask_interrupts() {
    // SAFETY: the vectors are installed before Rust runs; their handlers keep all registers.
    unsafe { core::arch::asm!("msr daifclr, #2", options(nostack, preserves_flags)) };
}

/// Waits for an interrupt, even one that is kept out.
#[inline(always)]
pub fn wait() {
    // SAFETY: a hint.
    unsafe { core::arch::asm!("wfi", options(nostack, preserves_flags)) };
}

/// The virtual counter, which no hypervisor has to trap.
#[inline(always)]
pub fn counter() -> u64 {
    // SAFETY: reads a counter.
    unsafe { read_sysreg!("cntvct_el0") }
}

/// Waits for ever.
pub fn halt() -> ! {
    loop {
        wait();
    }
}

/// Whether this is EL2.
pub fn is_el2() -> bool {
    // SAFETY: the read has no effect.
    let level: u64 = unsafe { read_sysreg!("CurrentEL") };
    level == 2 << 2
}

/// Affinity of a processor: its address in the interrupt controller and for PSCI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mpidr(u64);

impl Mpidr {
    /// The four affinity fields of MPIDR_EL1.
    pub fn new(value: u64) -> Self {
        Self(value & 0x00ff_00ff_ffff)
    }

    /// Of this processor.
    pub fn current() -> Self {
        // SAFETY: the read has no effect.
        Self::new(unsafe { read_sysreg!("mpidr_el1") })
    }

    /// As PSCI and the devicetree have it.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Affinity field 0 to 3.
    pub fn affinity(self, field: u32) -> u64 {
        let shift = if field == 3 { 32 } else { field * 8 };
        (self.0 >> shift) & 0xff
    }

    /// The four fields in 32 bits, as GICR_TYPER has them.
    pub fn packed(self) -> u64 {
        (self.affinity(3) << 24) | self.0 & 0x00ff_ffff
    }
}

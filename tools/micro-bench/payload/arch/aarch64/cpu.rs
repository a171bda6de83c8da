// SPDX-License-Identifier: GPL-2.0

//! System registers and instructions (Arm ARM, DDI 0487).

use crate::instruction::instructions;

/// Reads a system register.
macro_rules! read_sysreg {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: the registers named in this crate are read without side effects on memory.
        unsafe {
            core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value, options(nostack, preserves_flags))
        };
        value
    }};
}
pub(super) use read_sysreg;

/// Writes a system register.
macro_rules! write_sysreg {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: the registers named in this crate steer timers and interrupts; none changes what memory or
        // which stack the code uses.
        unsafe {
            core::arch::asm!(concat!("msr ", $name, ", {}"), in(reg) value, options(nostack, preserves_flags))
        };
    }};
}
pub(super) use write_sysreg;

// SAFETY: barriers and hints; the vectors are installed before Rust runs.
instructions!(unsafe {
    /// Completes what came before, as far as the instruction stream goes.
    fn barrier() = "isb";
    /// Has earlier accesses to memory reach the other processors.
    fn data_barrier() = "dsb ish";
    /// What a waiting loop does: hand the time to another thread of the core, or to another virtual processor.
    fn relax() = "yield";
    /// Lets interrupts in.
    fn unmask_interrupts() = "msr daifclr, #2";
    /// Waits for an interrupt, even one that is kept out.
    fn wait() = "wfi";
});

/// The virtual counter, which no hypervisor has to trap.
#[inline(always)]
pub fn counter() -> u64 {
    read_sysreg!("cntvct_el0")
}

/// Waits for ever.
pub fn halt() -> ! {
    loop {
        wait();
    }
}

/// Whether this is EL2.
pub fn is_el2() -> bool {
    read_sysreg!("CurrentEL") == 2 << 2
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
        Self::new(read_sysreg!("mpidr_el1"))
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

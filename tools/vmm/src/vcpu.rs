// SPDX-License-Identifier: GPL-2.0

//! A processor.

use crate::guest::Operation;
use crate::vm::{Operations, Vm, LONG_CODE, PAGE_TABLES, REAL_CODE, REAL_DATA};
use crate::{segments, SharedRing};
use anyhow::{bail, Context, Result};
use kvm_bindings::kvm_sregs;
use kvm_ioctls::{Cap, VcpuExit, VcpuFd};
use siov_ring::{Data, Space, Write};

/// Why a processor has come back.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A write that no zone took.
    Write(Write),
    /// A read, to be answered before the next run.
    Read(Space, u64, &'a mut [u8]),
    /// It has halted.
    Halt,
}

/// A processor and its list of operations.
#[derive(Debug)]
pub struct Vcpu {
    fd: VcpuFd,
    operations: Operations,
    page_offset: i32,
}

impl Vcpu {
    fn new(fd: VcpuFd, vm: &Vm, number: u64) -> Self {
        Self {
            fd,
            operations: vm.operations(number),
            page_offset: vm.fd().check_extension_int(Cap::CoalescedMmio),
        }
    }

    pub(crate) fn long_mode(fd: VcpuFd, vm: &Vm, number: u64) -> Result<Self> {
        const PE_PG: u64 = 1 | (1 << 31);
        const PAE: u64 = 1 << 5;
        const LME_LMA: u64 = (1 << 8) | (1 << 10);
        let this = Self::new(fd, vm, number);
        let mut sregs: kvm_sregs = this.fd.get_sregs().context("KVM_GET_SREGS")?;
        segments::flat(&mut sregs, true);
        sregs.cr0 |= PE_PG;
        sregs.cr3 = PAGE_TABLES;
        sregs.cr4 |= PAE;
        sregs.efer |= LME_LMA;
        this.fd.set_sregs(&sregs).context("KVM_SET_SREGS")?;
        Ok(this)
    }

    pub(crate) fn real_mode(fd: VcpuFd, vm: &Vm, rounds: u16) -> Result<Self> {
        let this = Self::new(fd, vm, 0);
        let mut sregs = this.fd.get_sregs().context("KVM_GET_SREGS")?;
        sregs.cs.base = 0;
        sregs.cs.selector = 0;
        this.fd.set_sregs(&sregs).context("KVM_SET_SREGS")?;
        let mut regs = this.fd.get_regs().context("KVM_GET_REGS")?;
        regs.rip = REAL_CODE;
        regs.rcx = rounds.into();
        regs.rdi = REAL_DATA;
        regs.rflags = 2;
        this.fd.set_regs(&regs).context("KVM_SET_REGS")?;
        Ok(this)
    }

    /// The VM's ring, seen through this processor.
    ///
    /// # Errors
    ///
    /// Those of mapping.
    pub fn ring(&self) -> Result<SharedRing> {
        SharedRing::map(&self.fd, self.page_offset)
    }

    /// Gives it operations, behind which it halts, and goes to the first of them.
    ///
    /// # Errors
    ///
    /// Those of KVM.
    pub fn start(&mut self, operations: &[Operation]) -> Result<()> {
        self.operations.set(operations);
        let mut regs = self.fd.get_regs().context("KVM_GET_REGS")?;
        regs.rip = LONG_CODE;
        regs.rbx = self.operations.address();
        regs.rflags = 2;
        self.fd.set_regs(&regs).context("KVM_SET_REGS")
    }

    /// Runs until something comes up that user space has to see to.
    ///
    /// # Errors
    ///
    /// Those of `KVM_RUN`, and exits that the programs do not cause.
    pub fn run(&mut self) -> Result<Event<'_>> {
        // The loop is of its own, because what `run` returns borrows from it.
        match self.fd.run().context("KVM_RUN")? {
            VcpuExit::IoOut(port, bytes) => write(Space::Pio, port.into(), bytes),
            VcpuExit::MmioWrite(addr, bytes) => write(Space::Mmio, addr, bytes),
            VcpuExit::IoIn(port, bytes) => Ok(Event::Read(Space::Pio, port.into(), bytes)),
            VcpuExit::MmioRead(addr, bytes) => Ok(Event::Read(Space::Mmio, addr, bytes)),
            VcpuExit::Hlt => Ok(Event::Halt),
            other => bail!("unexpected exit: {other:?}"),
        }
    }

    /// What operation `index` has read last.
    pub fn value(&self, index: usize) -> u64 {
        self.operations.value(index)
    }

    /// Ticks that operation `index` has taken.
    pub fn cost(&self, index: usize) -> u64 {
        self.operations.cost(index)
    }

    /// Ticks per millisecond.
    ///
    /// # Errors
    ///
    /// Those of KVM.
    pub fn tsc_khz(&self) -> Result<u32> {
        self.fd.get_tsc_khz().context("KVM_GET_TSC_KHZ")
    }
}

fn write<'a>(space: Space, addr: u64, bytes: &[u8]) -> Result<Event<'a>> {
    let data = Data::new(bytes).context("a write of more than 8 bytes")?;
    Ok(Event::Write(Write { space, addr, data }))
}

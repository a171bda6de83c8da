// SPDX-License-Identifier: GPL-2.0

//! A virtual machine.

use crate::guest::{long_mode, Operation};
use crate::memory::Mapping;
use crate::vcpu::Vcpu;
use crate::SharedRing;
use anyhow::{ensure, Context, Result};
use kvm_bindings::{kvm_userspace_memory_region, CpuId, KVM_MAX_CPUID_ENTRIES};
use kvm_ioctls::{Cap, Kvm, VcpuFd, VmFd};
use std::mem::{offset_of, size_of};
use std::sync::Arc;

/// Bytes of memory, from guest physical address 0 on.
const MEMORY: usize = 2 << 20;

/// Where things lie in it.
pub(crate) const REAL_CODE: u64 = 0x1000;
pub(crate) const PAGE_TABLES: u64 = 0x2000;
pub(crate) const LONG_CODE: u64 = 0x8000;
pub(crate) const REAL_DATA: u64 = 0x9000;
/// Operations of the first vCPU; those of the next follow.
const OPERATIONS: u64 = 0x4_0000;
const OPERATIONS_SIZE: u64 = 0x4_0000;

/// A machine with 2 MiB of memory and no devices.
#[derive(Debug)]
pub struct Vm {
    fd: VmFd,
    memory: Arc<Mapping>,
    cpuid: CpuId,
    /// The thread that made it, by which KVM names its folder in debugfs.
    creator: i32,
    /// Capabilities that [`Vm::has`] denies.
    hidden: Vec<Cap>,
}

impl Vm {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// Those of `/dev/kvm`.
    pub fn new() -> Result<Self> {
        let kvm = Kvm::new().context("/dev/kvm")?;
        let fd = kvm.create_vm().context("KVM_CREATE_VM")?;
        let cpuid = kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .context("KVM_GET_SUPPORTED_CPUID")?;
        let memory = Arc::new(Mapping::anonymous(MEMORY)?);
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: 0,
            memory_size: MEMORY as u64,
            userspace_addr: memory.address(),
        };
        // SAFETY: The memory lives as long as the VM, and is not used in any other way meanwhile.
        unsafe { fd.set_user_memory_region(region) }.context("KVM_SET_USER_MEMORY_REGION")?;
        memory.write(LONG_CODE, long_mode());
        // Identity, in pages of 2 MiB, for the first GiB.
        let entry = |table: u64, index: u64, value: u64| {
            memory.write(
                PAGE_TABLES + table * 0x1000 + index * 8,
                &value.to_le_bytes(),
            );
        };
        entry(0, 0, (PAGE_TABLES + 0x1000) | 3);
        entry(1, 0, (PAGE_TABLES + 0x2000) | 3);
        for index in 0..512 {
            entry(2, index, (index << 21) | 0x83);
        }
        let creator = nix::unistd::gettid().as_raw();
        Ok(Self {
            fd,
            memory,
            cpuid,
            creator,
            hidden: Vec::new(),
        })
    }

    /// With the features of the host's processor: without, it has no long mode.
    fn new_vcpu(&self, number: u64) -> Result<VcpuFd> {
        let vcpu = self.fd.create_vcpu(number).context("KVM_CREATE_VCPU")?;
        vcpu.set_cpuid2(&self.cpuid).context("KVM_SET_CPUID2")?;
        Ok(vcpu)
    }

    /// Adds a processor that will run the operations it is given, in long mode.
    ///
    /// # Errors
    ///
    /// Those of KVM.
    pub fn vcpu(&self, number: u64) -> Result<Vcpu> {
        Vcpu::long_mode(self.new_vcpu(number)?, self, number)
    }

    /// Adds a processor that will run [`crate::guest::real_mode`] for so many rounds.
    ///
    /// # Errors
    ///
    /// Those of KVM.
    pub fn real_mode_vcpu(&self, rounds: u16) -> Result<Vcpu> {
        self.memory.write(REAL_CODE, crate::guest::real_mode());
        Vcpu::real_mode(self.new_vcpu(0)?, self, rounds)
    }

    /// What the program for real mode has stored.
    pub fn real_mode_results(&self, rounds: u16) -> Vec<(u8, u32)> {
        let mut bytes = vec![0; usize::from(rounds) * 5];
        self.memory.read(REAL_DATA, &mut bytes);
        let result = |five: &[u8]| {
            let word = [five[1], five[2], five[3], five[4]];
            (five[0], u32::from_le_bytes(word))
        };
        bytes.chunks(5).map(result).collect()
    }

    /// The VM's file.
    pub fn fd(&self) -> &VmFd {
        &self.fd
    }

    /// Whether KVM has a capability, and it is not hidden.
    pub fn has(&self, cap: Cap) -> bool {
        !self.hidden.contains(&cap) && self.fd.check_extension(cap)
    }

    /// Goes on as on an older kernel, which lacks this capability.
    pub fn hide(&mut self, cap: Cap) {
        self.hidden.push(cap);
    }

    /// The thread that made it.
    pub fn creator(&self) -> i32 {
        self.creator
    }

    pub(crate) fn operations(&self, number: u64) -> Operations {
        Operations {
            memory: self.memory.clone(),
            start: OPERATIONS + number * OPERATIONS_SIZE,
            count: 0,
        }
    }
}

/// A VM with one processor, and its ring.
#[derive(Debug)]
pub struct Machine {
    /// The VM.
    pub vm: Vm,
    /// Its processor, which runs what it is given in long mode.
    pub vcpu: Vcpu,
    /// The ring, empty at first.
    pub ring: SharedRing,
}

impl Machine {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// Those of KVM, and if the ring is not empty.
    pub fn new() -> Result<Self> {
        let vm = Vm::new()?;
        let vcpu = vm.vcpu(0)?;
        let ring = vcpu.ring()?;
        ensure!(ring.is_empty(), "a new ring is not empty");
        Ok(Self { vm, vcpu, ring })
    }
}

/// The list that a vCPU goes through.
#[derive(Debug)]
pub(crate) struct Operations {
    memory: Arc<Mapping>,
    start: u64,
    count: u64,
}

impl Operations {
    const SIZE: u64 = size_of::<Operation>() as u64;

    /// Where they begin, for the guest.
    pub(crate) fn address(&self) -> u64 {
        self.start
    }

    pub(crate) fn set(&mut self, operations: &[Operation]) {
        self.count = operations.len() as u64;
        assert!((self.count + 1) * Self::SIZE <= OPERATIONS_SIZE, "too many");
        let all = operations.iter().copied().chain([Operation::halt()]);
        for (index, op) in (0..).zip(all) {
            let mut bytes = Vec::with_capacity(Self::SIZE as usize);
            bytes.extend_from_slice(&(op.kind as u32).to_le_bytes());
            bytes.extend_from_slice(&op.count.to_le_bytes());
            for word in [op.addr, op.value, op.cost] {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
            self.memory.write(self.start + index * Self::SIZE, &bytes);
        }
    }

    fn word(&self, index: usize, offset: usize) -> u64 {
        assert!((index as u64) < self.count);
        let mut bytes = [0; 8];
        let at = self.start + index as u64 * Self::SIZE + offset as u64;
        self.memory.read(at, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    pub(crate) fn value(&self, index: usize) -> u64 {
        self.word(index, offset_of!(Operation, value))
    }

    pub(crate) fn cost(&self, index: usize) -> u64 {
        self.word(index, offset_of!(Operation, cost))
    }
}

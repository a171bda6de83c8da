// SPDX-License-Identifier: GPL-2.0

//! The machine: KVM's processors and interrupt controllers around [`Board`].

use crate::board::{self, Board, By, COALESCED_MMIO, PCI_INDEX, RTC_INDEX};
use crate::counters::{Counters, Debugfs};
use crate::elf::Payload;
use crate::memory::Memory;
use anyhow::{bail, Context, Result};
use kvm_bindings::{kvm_coalesced_mmio, kvm_userspace_memory_region, CpuId, KVM_MAX_CPUID_ENTRIES};
use kvm_ioctls::{IoEventAddress, Kvm, VcpuExit, VcpuFd, VmFd};
use siov_vmm::segments;
use std::os::fd::AsRawFd;
use std::thread;

/// Bytes of memory, from guest physical address 0 on.
const MEMORY: usize = 64 << 20;
/// Where the start info of PVH and the command line are put.
const START_INFO: u64 = 0x1000;
const COMMAND_LINE: u64 = 0x2000;
const START_INFO_MAGIC: u32 = 0x336e_c578;
/// Three pages that KVM needs on Intel's processors, where the guest has neither memory nor
/// devices.
const TSS: usize = 0xfffb_d000;
/// Processors that run. One more only lends its view of the ring.
const PROCESSORS: u64 = 2;

/// What to run it with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether KVM collects writes to what is made for it.
    pub coalesce: bool,
    /// Of the payload.
    pub arguments: String,
}

/// How the guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// With a status.
    Exit(u8),
    /// By a triple fault.
    Reset,
}

/// Runs the payload to its end. The second processor is left behind, so a process can do this once.
pub fn run(payload: &[u8], options: &Options) -> Result<Status> {
    let kvm = Kvm::new().context("/dev/kvm")?;
    let vm = kvm.create_vm().context("KVM_CREATE_VM")?;
    let memory = Memory::new(MEMORY)?;
    let entry = load(&memory, payload)?;
    let region = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: memory.size() as u64,
        userspace_addr: memory.address(),
    };
    // SAFETY: the mapping is leaked below, so it outlives the machine, and nobody refers to its
    // content.
    unsafe { vm.set_user_memory_region(region) }.context("KVM_SET_USER_MEMORY_REGION")?;
    let memory = Box::leak(Box::new(memory));
    vm.set_tss_address(TSS).context("KVM_SET_TSS_ADDR")?;
    vm.create_irq_chip().context("KVM_CREATE_IRQCHIP")?;

    let cpuid = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .context("KVM_GET_SUPPORTED_CPUID")?;
    let first = vcpu(&vm, &cpuid, 0)?;
    let second = vcpu(&vm, &cpuid, 1)?;
    let mut ring = vcpu(&vm, &cpuid, PROCESSORS)?;
    ring.map_coalesced_mmio_ring().context("mapping the ring")?;
    if options.coalesce {
        for (address, size) in [
            (IoEventAddress::Pio(RTC_INDEX.into()), 1),
            (IoEventAddress::Pio(PCI_INDEX.into()), 4),
            (IoEventAddress::Mmio(COALESCED_MMIO), 4),
        ] {
            vm.register_coalesced_mmio(address, size)
                .context("KVM_REGISTER_COALESCED_MMIO")?;
        }
    }

    let khz = first.get_tsc_khz().context("KVM_GET_TSC_KHZ")?;
    let line = format!(
        "micro-bench cpus={PROCESSORS} tsc-hz={} coalesced-mmio={COALESCED_MMIO:#x} {}\0",
        u64::from(khz) * 1000,
        options.arguments
    );
    memory.write(COMMAND_LINE, line.as_bytes())?;
    start(&first, entry)?;
    thread::spawn(move || wait_for_interrupts(second));
    serve(first, ring, &Debugfs::of(vm.as_raw_fd()))
}

/// Puts payload and start info into memory. Returns the entry.
fn load(memory: &Memory, file: &[u8]) -> Result<u32> {
    let payload = Payload::parse(file)?;
    for segment in &payload.segments {
        memory.write(segment.address, segment.bytes)?;
    }
    // xen/include/public/arch-x86/hvm/start_info.h: magic, version, flags, number of modules, their
    // address, command line.
    let mut info = Vec::new();
    for word in [START_INFO_MAGIC, 1, 0, 0] {
        info.extend(word.to_le_bytes());
    }
    for address in [0, COMMAND_LINE] {
        info.extend(address.to_le_bytes());
    }
    memory.write(START_INFO, &info)?;
    Ok(payload.entry)
}

/// A processor with the features of the host's, its number, and the sign of a hypervisor.
fn vcpu(vm: &VmFd, cpuid: &CpuId, number: u64) -> Result<VcpuFd> {
    const HYPERVISOR: u32 = 1 << 31;
    let id = u32::try_from(number)?;
    let mut cpuid = cpuid.clone();
    for entry in cpuid.as_mut_slice() {
        match entry.function {
            1 => {
                entry.ebx = entry.ebx & 0x00ff_ffff | (id << 24);
                entry.ecx |= HYPERVISOR;
            }
            0xb | 0x1f => entry.edx = id,
            _ => (),
        }
    }
    let vcpu = vm.create_vcpu(number).context("KVM_CREATE_VCPU")?;
    vcpu.set_cpuid2(&cpuid).context("KVM_SET_CPUID2")?;
    Ok(vcpu)
}

/// The state in which PVH enters: 32-bit protected mode, flat segments, no paging.
fn start(vcpu: &VcpuFd, entry: u32) -> Result<()> {
    let mut sregs = vcpu.get_sregs().context("KVM_GET_SREGS")?;
    segments::flat(&mut sregs, false);
    sregs.cr0 |= 1;
    vcpu.set_sregs(&sregs).context("KVM_SET_SREGS")?;
    let mut regs = vcpu.get_regs().context("KVM_GET_REGS")?;
    regs.rip = entry.into();
    regs.rbx = START_INFO;
    regs.rflags = 2;
    vcpu.set_regs(&regs).context("KVM_SET_REGS")
}

/// The second processor: KVM starts it, and it does nothing that this program would see.
fn wait_for_interrupts(mut vcpu: VcpuFd) {
    loop {
        match vcpu.run() {
            Ok(_) => (),
            // Until it is started, and by signals.
            Err(error) if matches!(error.errno(), libc::EAGAIN | libc::EINTR) => (),
            Err(error) => {
                eprintln!("micro-bench-vmm: second processor: {error}");
                return;
            }
        }
    }
}

/// The first processor. What waits in the ring came before the exit, so it is drained first.
fn serve(mut vcpu: VcpuFd, mut ring: VcpuFd, debugfs: &Debugfs) -> Result<Status> {
    let mut board = Board::default();
    let mut earlier = Counters::default();
    loop {
        let exit = match vcpu.run() {
            Ok(exit) => exit,
            Err(error) if error.errno() == libc::EINTR => continue,
            Err(error) => return Err(error).context("KVM_RUN"),
        };
        while let Some(write) = ring.coalesced_mmio_read().context("the ring")? {
            from_ring(&mut board, &write)?;
        }
        match exit {
            VcpuExit::IoIn(port, bytes) => board.input(port, bytes),
            VcpuExit::IoOut(port, bytes) => {
                if let Some(line) = board.output(port, bytes, By::Exit) {
                    let now = board.counters.clone().merge(debugfs.read());
                    board::show(&line, &now.since(&earlier));
                    earlier = now;
                }
            }
            VcpuExit::MmioRead(address, bytes) => board.read(address, bytes),
            VcpuExit::MmioWrite(address, _) => board.write(address, By::Exit),
            VcpuExit::Shutdown => return Ok(Status::Reset),
            other => bail!("unexpected exit: {other:?}"),
        }
        if let Some(status) = board.status {
            return Ok(Status::Exit(status));
        }
    }
}

fn from_ring(board: &mut Board, write: &kvm_coalesced_mmio) -> Result<()> {
    let bytes = usize::try_from(write.len)
        .ok()
        .and_then(|size| write.data.get(..size))
        .context("an entry of the ring is longer than its data")?;
    // SAFETY: both fields of the union are 32-bit numbers.
    if unsafe { write.__bindgen_anon_1.pio } != 0 {
        board.output(u16::try_from(write.phys_addr)?, bytes, By::Ring);
    } else {
        board.write(write.phys_addr, By::Ring);
    }
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0

//! Registers of devices that other devices reach by DMA: while their user has them mapped, and no
//! longer.

use crate::alone;
use crate::context::{page, Context, User, IOVA, PAGES};
use anyhow::{ensure, Context as _};
use nix::errno::Errno;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::waitpid;
use siov_kselftests::adi::UserAdi;
use siov_kselftests::child::{in_child, spawn};
use siov_kselftests::edu::Edu;
use siov_kselftests::ktap::{expect_console, expect_faults, Result};
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pattern::{bytes, expect_equal};
use siov_kselftests::pci::{Function, EDU};
use siov_kselftests::siov_testdev::fill;
use siov_kselftests::siov_testdev::regs::user::offset;
use siov_kselftests::siov_testdev::regs::Descriptor;
use siov_kselftests::vfio::{Access, Container, Device};
use siov_kselftests::{poll, sysfs, PAGE};

/// Where registers are mapped for DMA.
const REGISTERS: u64 = 4 * IOVA;

/// What edu's identification register holds.
const EDU_ID: [u8; 4] = [0xed, 0, 0, 1];

/// What is left of memory that nothing was written to.
const UNTOUCHED: [u8; 4] = [0xa5; 4];

/// A PCI device that reads and writes for us, in a container with memory at [`IOVA`].
struct Initiator {
    edu: Edu,
    _device: Device,
    memory: Mapping,
    container: Container,
}

fn open_edu(container: &mut Container, index: usize) -> Result<(Edu, Device)> {
    let functions = Function::all(EDU)?;
    let function = functions.get(index).context("the guest has too few edu")?;
    let device = container.add(function)?;
    device.set_bus_master(true)?;
    Ok((Edu::new(device.map_bar(0)?)?, device))
}

impl Initiator {
    fn new() -> Result<Self> {
        let mut container = Container::new()?;
        let (edu, _device) = open_edu(&mut container, 0)?;
        let memory = Mapping::memory(PAGES * PAGE)?;
        container.map(IOVA, &memory, 0, PAGES * PAGE, Access::ReadWrite)?;
        Ok(Self {
            edu,
            _device,
            memory,
            container,
        })
    }

    /// Writes `bytes` to `iova`.
    fn write(&self, iova: u64, bytes: &[u8]) -> Result {
        self.memory.write(0, bytes);
        self.edu.read(page(0), bytes.len())?;
        self.edu.write(iova, bytes.len())
    }

    /// Reads four bytes at `iova`; [`UNTOUCHED`] or zeros if that is blocked.
    fn read(&self, iova: u64) -> Result<[u8; 4]> {
        self.memory.write(0, &UNTOUCHED);
        self.edu.read(page(0), 4)?;
        self.edu.read(iova, 4)?;
        self.edu.write(page(1), 4)?;
        let bytes = self.memory.read(PAGE, 4);
        bytes.first_chunk().copied().context("four bytes")
    }

    fn expect_reached(&self, iova: u64) -> Result {
        let read = self.read(iova)?;
        ensure!(read == EDU_ID, "{read:x?} at {iova:#x}");
        Ok(())
    }

    fn expect_blocked(&self, iova: u64) -> Result {
        expect_faults(1);
        let read = self.read(iova)?;
        ensure!(
            read == UNTOUCHED || read == [0; 4],
            "{read:x?} at {iova:#x}, where nothing is mapped"
        );
        Ok(())
    }

    /// Submits a descriptor to the ADI whose registers are at [`REGISTERS`].
    fn submit(&self, descriptor: &Descriptor) -> Result {
        self.write(
            REGISTERS + offset::INLINE_DESCRIPTOR,
            &descriptor.to_bytes(),
        )?;
        self.write(REGISTERS + offset::INLINE_DOORBELL, &1u32.to_le_bytes())
    }
}

/// A device drives an ADI by DMA as long as both are one tenant's; the next tenant's it does not.
pub fn tenants(c: &mut Context) -> Result {
    let mdev = c.create()?;
    let mut first = Initiator::new()?;
    let adi = UserAdi::open(&mut first.container, &mdev.0)?;
    let registers = adi.device.map_bar(0)?;
    first
        .container
        .map(REGISTERS, &registers, 0, PAGE, Access::ReadWrite)?;
    first.submit(&fill(page(2), PAGE, 0x1111_1111_1111_1111))?;
    poll::until_true("the ADI completes", || Ok(adi.completed() == 1))?;
    expect_equal(
        "the fill",
        &first.memory.read(2 * PAGE, PAGE),
        &[0x11; PAGE],
    )?;

    // It goes as the kernel wants it: what is mapped keeps the device open.
    drop(registers);
    drop(adi);
    first.container.leave(mdev.0.group()?);
    let second = alone(&mdev.0)?;
    let data = second.put(2, 80);
    expect_faults(2);
    first.submit(&fill(page(2), PAGE, 0x2222_2222_2222_2222))?;
    ensure!(second.adi.completed() == 0, "the ADI of another did work");
    let descriptor = second.adi.read32(offset::INLINE_DESCRIPTOR);
    ensure!(descriptor == 0, "{descriptor:#x} was written to the ADI");
    expect_equal("the memory of another", &second.get(2), &data)?;
    first.container.unmap(REGISTERS, PAGE)
}

/// vfio-pci takes the registers back from the process when their device does not answer any more.
pub fn disabled(_: &mut Context) -> Result {
    let mut c = Initiator::new()?;
    let (target, device) = open_edu(&mut c.container, 1)?;
    let registers = device.map_bar(0)?;
    let len = registers.len();
    let map = |c: &Initiator| {
        c.container
            .map(REGISTERS, &registers, 0, len, Access::ReadWrite)
    };
    map(&c)?;
    c.expect_reached(REGISTERS)?;
    device.set_memory(false)?;
    c.expect_blocked(REGISTERS)?;
    device.set_memory(true)?;
    // They are the process's again, and the mapping is empty.
    ensure!(!target.is_busy(), "edu is busy");
    c.expect_blocked(REGISTERS)?;
    c.expect_blocked(REGISTERS + len as u64 - 4)?;
    c.container.unmap(REGISTERS, len)?;
    map(&c)?;
    c.expect_reached(REGISTERS)
}

/// One mapping of memory, registers and memory: the registers go, the memory stays.
pub fn between_memory(_: &mut Context) -> Result {
    const LEN: usize = 5 * PAGE;
    let mut c = Initiator::new()?;
    let (_target, device) = open_edu(&mut c.container, 1)?;
    let memory = Mapping::memory(LEN)?;
    let at = |index: usize| REGISTERS + (index * PAGE) as u64;
    for round in 0..2u64 {
        device.map_bar_over(0, &memory, PAGE, PAGE)?;
        device.map_bar_over(0, &memory, 3 * PAGE, PAGE)?;
        for index in [0, 2, 4] {
            memory.write(index * PAGE, &EDU_ID);
        }
        c.container
            .map(REGISTERS, &memory, 0, LEN, Access::ReadWrite)?;
        for index in 0..5 {
            c.expect_reached(at(index))?;
        }
        memory.fill(3 * PAGE, PAGE)?;
        c.expect_blocked(at(3))?;
        for index in [0, 1, 2, 4] {
            c.expect_reached(at(index))?;
        }
        if round == 0 {
            memory.fill(PAGE, PAGE)?;
            c.expect_blocked(at(1))?;
        }
        c.container.unmap(REGISTERS, LEN)?;
        c.expect_blocked(at(0))?;
        c.expect_blocked(at(1))?;
    }
    Ok(())
}

/// A mapping outlives the process that made it, but not with registers that were its.
pub fn killed(_: &mut Context) -> Result {
    let mut c = Initiator::new()?;
    let (_target, device) = open_edu(&mut c.container, 1)?;
    let ready = Mapping::shared(PAGE)?;
    let child = spawn(|| {
        let mapped = device.map_bar(0).and_then(|registers| {
            c.container
                .map(REGISTERS, &registers, 0, PAGE, Access::ReadWrite)?;
            ready.write32(0, 1);
            loop {
                nix::unistd::pause();
            }
        });
        let failed: Result = mapped;
        eprintln!("{failed:?}");
        ready.write32(0, 2);
        1
    })?;
    poll::until_true("the child has mapped the registers", || {
        Ok(ready.read32(0) != 0)
    })?;
    ensure!(ready.read32(0) == 1, "the child failed");
    c.expect_reached(REGISTERS)?;
    kill(child, Signal::SIGKILL)?;
    waitpid(child, None)?;
    c.expect_blocked(REGISTERS)?;
    c.container.unmap(REGISTERS, PAGE)
}

/// Whoever takes a mapping over has its registers elsewhere, or has none.
pub fn moved(_: &mut Context) -> Result {
    let mut c = Initiator::new()?;
    let (_target, device) = open_edu(&mut c.container, 1)?;
    let len = 4 * PAGE;
    let [memory, other, none] = [(); 3].map(|()| Mapping::memory(len));
    let (memory, other, none) = (memory?, other?, none?);
    for place in [&memory, &other] {
        device.map_bar_over(0, place, PAGE, 2 * PAGE)?;
    }
    c.container
        .map(REGISTERS, &memory, 0, len, Access::ReadWrite)?;
    let at = REGISTERS + PAGE as u64;
    c.expect_reached(at)?;
    c.container.invalidate_address(REGISTERS, len)?;
    c.expect_reached(at)?;
    memory.fill(PAGE, 2 * PAGE)?;
    c.expect_blocked(at)?;
    c.container.update_address(REGISTERS, &other)?;
    c.expect_reached(at)?;
    c.container.invalidate_address(REGISTERS, len)?;
    c.container.update_address(REGISTERS, &none)?;
    // What is memory there was not what the mapping was made of.
    c.expect_blocked(at)?;
    c.container.invalidate_address(REGISTERS, len)?;
    c.container.update_address(REGISTERS, &other)?;
    c.expect_reached(at)?;
    other.fill(2 * PAGE, PAGE)?;
    c.expect_blocked(at + PAGE as u64)?;
    c.container.unmap(REGISTERS, len)?;
    c.expect_blocked(at)
}

/// Devices reach the registers of those that are in the same container.
pub fn foreign(m: &mut Context) -> Result {
    let c = Initiator::new()?;
    let mut other = Container::new()?;
    let (_target, device) = open_edu(&mut other, 1)?;
    let registers = device.map_bar(0)?;
    expect_console("registers of a device of group [0-9]+, which is not in the container");
    let refused = c
        .container
        .map(REGISTERS, &registers, 0, PAGE, Access::ReadWrite);
    sysfs::expect_errno(refused, Errno::EPERM, "mapping another's registers")?;
    c.expect_blocked(REGISTERS)?;
    let mdev = m.create()?;
    let adi: User = alone(&mdev.0)?;
    let registers = adi.adi.device.map_bar(0)?;
    let refused = c
        .container
        .map(REGISTERS, &registers, 0, PAGE, Access::Read);
    sysfs::expect_errno(refused, Errno::EPERM, "mapping another's ADI")?;
    c.expect_blocked(REGISTERS)
}

/// The memory behind a mapping is that of the process that made it, whoever adds the first device
/// that has a domain.
pub fn joined(m: &mut Context) -> Result {
    let mdev = m.create_as(crate::context::MEDIATED)?;
    let mut container = Container::new()?;
    let emulated = container.add_mdev(&mdev.0)?;
    let memory = Mapping::memory(PAGE)?;
    let data = bytes(PAGE, 81);
    memory.write(0, &data);
    container.map(IOVA, &memory, 0, PAGE, Access::ReadWrite)?;
    let read = in_child(|| {
        memory.write(0, &bytes(PAGE, 82));
        let (edu, _device) = open_edu(&mut container, 0)?;
        edu.read(IOVA, PAGE)?;
        let own = Mapping::memory(PAGE)?;
        container.map(REGISTERS, &own, 0, PAGE, Access::ReadWrite)?;
        edu.write(REGISTERS, PAGE)?;
        expect_equal("what the device read", &own.read(0, PAGE), &data)?;
        container.unmap(REGISTERS, PAGE)?;
        Ok(vec!["done".to_owned()])
    })?;
    ensure!(read == ["done"], "{read:?}");
    drop(emulated);
    Ok(())
}

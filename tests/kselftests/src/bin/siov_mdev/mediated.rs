// SPDX-License-Identifier: GPL-2.0

//! ADIs in software: every access of the page is a read or a write of the VFIO device.

use crate::context::{page, Context, IOVA, MEDIATED, PAGES};
use anyhow::{ensure, Context as _};
use nix::errno::Errno;
use siov_kselftests::adi::{eventfd, records, signals, UserAdi};
use siov_kselftests::child::{locked_kib, pinned_pages};
use siov_kselftests::ktap::{note, Result};
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pattern::{bytes, expect_equal};
use siov_kselftests::siov_testdev::regs::fault_region::flags;
use siov_kselftests::siov_testdev::regs::user::offset;
use siov_kselftests::siov_testdev::regs::{
    Completion, CompletionStatus, Descriptor, DescriptorFlags, FaultSource,
};
use siov_kselftests::siov_testdev::{copy, crc32c, fill};
use siov_kselftests::vfio::{Access, Container, Device};
use siov_kselftests::{poll, sysfs, PAGE};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use vfio_bindings::bindings::vfio::{VFIO_PCI_ERR_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX};

/// Submits a descriptor, which is done when its doorbell has been written.
fn execute(device: &Device, descriptor: &Descriptor) -> Result<Completion> {
    device.write(0, offset::INLINE_DESCRIPTOR, &descriptor.to_bytes())?;
    device.write(0, offset::INLINE_DOORBELL, &1u32.to_le_bytes())?;
    let mut record = [0; Completion::BYTES];
    device.read(0, offset::COMPLETION, &mut record)?;
    Completion::from_bytes(&record).context("no completion")
}

struct User {
    device: Device,
    memory: Mapping,
    container: Container,
}

fn open(c: &mut Context) -> Result<(crate::context::Owned, User)> {
    let mdev = c.create_as(MEDIATED)?;
    let mut container = Container::new()?;
    let device = container.add_mdev(&mdev.0)?;
    device.set_bus_master(true)?;
    let memory = Mapping::memory(PAGES * PAGE)?;
    container.map(IOVA, &memory, 0, PAGES * PAGE, Access::ReadWrite)?;
    let user = User {
        device,
        memory,
        container,
    };
    Ok((mdev, user))
}

pub fn operations(c: &mut Context) -> Result {
    let all = c.parent.available(MEDIATED)?;
    let (mdev, user) = open(c)?;
    ensure!(
        mdev.0.domain_type()? == "no-iommu",
        "{}",
        mdev.0.domain_type()?
    );
    ensure!(
        c.parent.available(MEDIATED)? == all - 1,
        "{}",
        c.parent.available(MEDIATED)?
    );
    sysfs::expect_errno(user.device.map_bar(0), Errno::EINVAL, "mapping its page")?;

    let data = bytes(PAGE, 60);
    user.memory.write(0, &data);
    // Across pages, and not aligned to anything.
    let done = execute(&user.device, &copy(page(0), page(3) + 0x7f3, PAGE))?;
    ensure!(done.status == CompletionStatus::Success, "{done:x?}");
    expect_equal("the copy", &user.memory.read(3 * PAGE + 0x7f3, PAGE), &data)?;
    user.memory.write(0, &[0; 32]);
    let crc = execute(&user.device, &crc32c(page(0), 32))?;
    ensure!(crc.result == 0x8a91_36aa, "{crc:x?}");

    let heard = eventfd()?;
    user.device
        .set_eventfd(VFIO_PCI_MSIX_IRQ_INDEX, 1, &heard)?;
    user.device
        .write(0, offset::INTERRUPT_ENABLE, &1u32.to_le_bytes())?;
    let asks = Descriptor {
        flags: DescriptorFlags::INTERRUPT,
        ..copy(page(0), page(1), 8)
    };
    execute(&user.device, &asks)?;
    ensure!(signals(&heard)? == 1, "no interrupt");
    Ok(())
}

pub fn faults(c: &mut Context) -> Result {
    let (_mdev, user) = open(c)?;
    let heard = eventfd()?;
    user.device.set_eventfd(VFIO_PCI_ERR_IRQ_INDEX, 0, &heard)?;
    let stray = page(PAGES + 4) + 8;
    let done = execute(&user.device, &fill(stray, 64, 0))?;
    ensure!(done.status == CompletionStatus::Fault, "{done:x?}");
    ensure!(done.fault_address.raw() == stray, "{done:x?}");
    ensure!(signals(&heard)? == 1, "nobody was told");
    let records = records(&user.device)?;
    ensure!(records.len() == 1, "{records:x?}");
    ensure!(records[0].address == stray, "{records:x?}");
    ensure!(
        records[0].device_source() == Some(FaultSource::Destination),
        "{records:x?}"
    );
    ensure!(
        records[0].flags == flags::DEVICE | flags::WRITE,
        "{records:x?}"
    );
    Ok(())
}

/// One container with an ADI of the hardware and one in software: the same memory.
pub fn beside(c: &mut Context) -> Result {
    let (hard, soft) = (c.create()?, c.create_as(MEDIATED)?);
    let mut container = Container::new()?;
    let adi = UserAdi::open(&mut container, &hard.0)?;
    let device = container.add_mdev(&soft.0)?;
    device.set_bus_master(true)?;
    let memory = Mapping::memory(PAGES * PAGE)?;
    container.map(IOVA, &memory, 0, PAGES * PAGE, Access::ReadWrite)?;
    let data = bytes(PAGE, 61);
    memory.write(0, &data);
    adi.succeed(&copy(page(0), page(1), PAGE))?;
    let done = execute(&device, &copy(page(1), page(2), PAGE))?;
    ensure!(done.status == CompletionStatus::Success, "{done:x?}");
    expect_equal(
        "what went through both",
        &memory.read(2 * PAGE, PAGE),
        &data,
    )
}

/// Submits a descriptor that must succeed.
fn succeed(device: &Device, descriptor: &Descriptor) -> Result {
    let done = execute(device, descriptor)?;
    ensure!(done.status == CompletionStatus::Success, "{done:x?}");
    Ok(())
}

fn expect_pinned(pages: usize) -> Result {
    let (kib, expected) = (locked_kib()?, (pages * PAGE / 1024) as u64);
    ensure!(kib == expected, "{kib} KiB are locked, expected {expected}");
    Ok(())
}

/// What is worked on is pinned and paid for, until it is unmapped or the device closed.
pub fn pins(c: &mut Context) -> Result {
    let before = pinned_pages()?;
    let (mdev, user) = open(c)?;
    expect_pinned(0)?;
    let data = bytes(PAGE, 62);
    user.memory.write(0, &data);
    for _ in 0..3 {
        succeed(&user.device, &copy(page(0), page(2), PAGE))?;
        expect_pinned(2)?;
    }
    expect_equal("the copy", &user.memory.read(2 * PAGE, PAGE), &data)?;
    // Other memory takes the place: the device must not know the old one any more.
    user.container.unmap(IOVA, PAGES * PAGE)?;
    expect_pinned(0)?;
    let stale = execute(&user.device, &fill(page(2), PAGE, 0))?;
    ensure!(stale.status == CompletionStatus::Fault, "{stale:x?}");
    let other = Mapping::memory(PAGES * PAGE)?;
    user.container
        .map(IOVA, &other, 0, PAGES * PAGE, Access::ReadWrite)?;
    succeed(&user.device, &fill(page(2), PAGE, 0x6666_6666_6666_6666))?;
    expect_equal("new memory", &other.read(2 * PAGE, PAGE), &[0x66; PAGE])?;
    expect_equal("old memory", &user.memory.read(2 * PAGE, PAGE), &data)?;
    expect_pinned(1)?;
    // More pages than the driver keeps, in a second mapping.
    let many = Mapping::memory(MANY * PAGE)?;
    let at = page(PAGES);
    user.container
        .map(at, &many, 0, MANY * PAGE, Access::ReadWrite)?;
    succeed(&user.device, &fill(at, MANY * PAGE, 0x6767_6767_6767_6767))?;
    expect_equal(
        "many pages",
        &many.read(0, MANY * PAGE),
        &[0x67; MANY * PAGE],
    )?;
    expect_pinned(KEPT)?;
    user.container.unmap(at, MANY * PAGE)?;
    expect_pinned(0)?;

    // Memory that may only be read is pinned for that.
    user.container.map(at, &many, 0, 2 * PAGE, Access::Read)?;
    succeed(&user.device, &copy(at, page(0), PAGE))?;
    expect_pinned(2)?;
    let refused = execute(&user.device, &fill(at, PAGE, 0))?;
    ensure!(refused.status == CompletionStatus::Fault, "{refused:x?}");
    let User {
        device,
        memory: _memory,
        container,
    } = user;
    drop(device);
    expect_pinned(0)?;
    drop(container);
    drop(mdev);
    let now = pinned_pages()?;
    ensure!(now == before, "{now} pages are pinned, {before} before");
    Ok(())
}

/// Pages that the driver keeps at most, and more than that.
const KEPT: usize = 64;
const MANY: usize = KEPT + 10;

/// Bytes of the least work for which a page is pinned.
const SMALL: usize = 128;

/// Unmapping asks a driver to unpin, while another device of the container comes and goes: nobody
/// waits for the other for ever.
pub fn crowded(c: &mut Context) -> Result {
    const ROUNDS: usize = 100;
    let (_mdev, mut user) = open(c)?;
    let second = c.create_as(MEDIATED)?;
    let same = Container::handed_down(user.container.as_fd().try_clone_to_owned()?);
    // Each page is unpinned by itself, and each is an occasion to come in between.
    let (device, memory) = (&user.device, Mapping::memory(KEPT * PAGE)?);
    let (at, len) = (page(PAGES), KEPT * PAGE);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let unmapping = scope.spawn(|| -> Result {
            let result = (0..ROUNDS).try_for_each(|_| {
                same.map(at, &memory, 0, len, Access::ReadWrite)?;
                for index in 0..KEPT {
                    succeed(device, &fill(at + (index * PAGE) as u64, SMALL, 0))?;
                }
                same.unmap(at, len)
            });
            done.store(true, Ordering::Relaxed);
            result
        });
        let mut opened = 0;
        while !done.load(Ordering::Relaxed) {
            drop(user.container.add_mdev(&second.0)?);
            opened += 1;
        }
        note(format!("opened {opened} times"));
        unmapping.join().ok().context("a thread panicked")?
    })
}

/// Memory can be unmapped at any time, also while the driver pins more and more of it: for some
/// devices, when others have just unpinned it.
pub fn busy(c: &mut Context) -> Result {
    const ROUNDS: usize = 200;
    let (_mdev, mut user) = open(c)?;
    let mdevs = [c.create_as(MEDIATED)?, c.create_as(MEDIATED)?];
    let mut devices = vec![user.device];
    for mdev in &mdevs {
        let device = user.container.add_mdev(&mdev.0)?;
        device.set_bus_master(true)?;
        devices.push(device);
    }
    let memory = Mapping::memory(KEPT * PAGE)?;
    let (at, len) = (page(PAGES), KEPT * PAGE);
    let done = AtomicBool::new(false);
    let (done, container) = (&done, &user.container);
    thread::scope(|scope| {
        let work = |device: &Device| -> Result<usize> {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                // One page after the other is pinned; those that are not mapped are faults.
                execute(device, &fill(at, len, 0))?;
                count += 1;
            }
            Ok(count)
        };
        let working: Vec<_> = devices
            .iter()
            .map(|device| scope.spawn(move || work(device)))
            .collect();
        let result = (0..ROUNDS).try_for_each(|_| -> Result {
            container.map(at, &memory, 0, len, Access::ReadWrite)?;
            poll::until_true("the driver pins", || Ok(locked_kib()? != 0))?;
            container.unmap(at, len)
        });
        done.store(true, Ordering::Relaxed);
        let worked = working
            .into_iter()
            .map(|thread| thread.join().ok().context("a thread panicked")?)
            .sum::<Result<usize>>()?;
        note(format!("{worked} descriptors"));
        result
    })
}

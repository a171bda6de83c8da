// SPDX-License-Identifier: GPL-2.0

//! ADIs in software: every access of the page is a read or a write of the VFIO device.

use crate::context::{page, Context, IOVA, MEDIATED, PAGES};
use anyhow::{ensure, Context as _};
use nix::errno::Errno;
use siov_kselftests::adi::{eventfd, records, signals, UserAdi};
use siov_kselftests::ktap::Result;
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pattern::{bytes, expect_equal};
use siov_kselftests::siov_testdev::regs::fault_region::flags;
use siov_kselftests::siov_testdev::regs::user::offset;
use siov_kselftests::siov_testdev::regs::{
    Completion, CompletionStatus, Descriptor, DescriptorFlags, FaultSource,
};
use siov_kselftests::siov_testdev::{copy, crc32c, fill};
use siov_kselftests::vfio::{Access, Container, Device};
use siov_kselftests::{sysfs, PAGE};
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
    _container: Container,
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
        _container: container,
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

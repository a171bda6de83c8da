// SPDX-License-Identifier: GPL-2.0

//! Work, in good order.

use crate::alone;
use crate::context::{page, Context, User, IOVA, PAGES};
use anyhow::{ensure, Context as _};
use siov_kselftests::adi::{signals, UserAdi, VECTOR_COMPLETION};
use siov_kselftests::edu::Edu;
use siov_kselftests::ktap::Result;
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pattern::{bytes, expect_equal};
use siov_kselftests::pci::{Function, EDU};
use siov_kselftests::siov_testdev::regs::user::{offset, Status};
use siov_kselftests::siov_testdev::regs::{
    Completion, CompletionStatus, Descriptor, DescriptorFlags,
};
use siov_kselftests::siov_testdev::{compare, copy, crc32c, fill, recorded};
use siov_kselftests::vfio::{Access, Container};
use siov_kselftests::{poll, PAGE};

pub fn operations(c: &mut Context) -> Result {
    let mdev = c.create()?;
    let user = alone(&mdev.0)?;
    let data = user.put(0, 1);
    user.adi.succeed(&copy(page(0), page(1), PAGE))?;
    expect_equal("the copy", &user.get(1), &data)?;

    user.adi
        .succeed(&fill(page(2), PAGE, 0x0807_0605_0403_0201))?;
    let filled: Vec<u8> = (1..=8).cycle().take(PAGE).collect();
    expect_equal("the fill", &user.get(2), &filled)?;

    // RFC 3720, B.4: 32 bytes of zeroes.
    user.memory.write(3 * PAGE, &[0; 32]);
    let crc = user.adi.succeed(&crc32c(page(3), 32))?;
    ensure!(crc.result == 0x8a91_36aa, "CRC {:#x}", crc.result);

    user.adi.succeed(&compare(page(0), page(1), PAGE))?;
    user.memory.write(PAGE + 100, &[!data[100]]);
    let differs = user.adi.execute(&compare(page(0), page(1), PAGE))?;
    ensure!(differs.status == CompletionStatus::Mismatch, "{differs:x?}");
    ensure!(differs.result == 100, "{differs:x?}");
    Ok(())
}

pub fn ring(c: &mut Context) -> Result {
    let mdev = c.create()?;
    let user = alone(&mdev.0)?;
    let (ring, records) = (14, 15);
    let descriptors = [
        recorded(fill(page(1), PAGE, 0x1111), page(records)),
        recorded(copy(page(1), page(2), PAGE), page(records) + 32),
        recorded(compare(page(1), page(2), PAGE), page(records) + 64),
    ];
    for (index, descriptor) in descriptors.iter().enumerate() {
        let at = ring * PAGE + index * Descriptor::BYTES;
        user.memory.write(at, &descriptor.to_bytes());
    }
    user.adi.write32(offset::RING_ORDER, 2);
    user.adi.write64(offset::RING_BASE, page(ring));
    user.adi
        .write32(offset::RING_TAIL, descriptors.len() as u32);
    poll::until_true("the ring is empty", || {
        Ok(user.adi.completed() == descriptors.len() as u64)
    })?;
    for index in 0..descriptors.len() {
        let at = records * PAGE + index * Completion::BYTES;
        let bytes = user.memory.read(at, Completion::BYTES);
        let record = bytes.first_chunk().and_then(Completion::from_bytes);
        let status = record.map(|record| record.status);
        ensure!(
            status == Some(CompletionStatus::Success),
            "{index}: {record:x?}"
        );
    }
    Ok(())
}

pub fn interrupts(c: &mut Context) -> Result {
    let mdev = c.create()?;
    let user = alone(&mdev.0)?;
    let eventfd = user.adi.listen(VECTOR_COMPLETION)?;
    user.adi.succeed(&copy(page(0), page(1), 64))?;
    ensure!(
        signals(&eventfd)? == 0,
        "an interrupt that nobody asked for"
    );

    user.adi.write32(offset::INTERRUPT_ENABLE, 1);
    let asks = Descriptor {
        flags: DescriptorFlags::INTERRUPT,
        ..copy(page(0), page(1), 64)
    };
    for _ in 0..10 {
        user.adi.write32(offset::INTERRUPT_STATUS, 1);
        user.adi.succeed(&asks)?;
        poll::until_true("the eventfd is signalled", || Ok(signals(&eventfd)? != 0))?;
    }
    Ok(())
}

pub fn bus_master(c: &mut Context) -> Result {
    let mdev = c.create()?;
    let user = alone(&mdev.0)?;
    ensure!(
        user.adi.status().contains(Status::READY),
        "{:?}",
        user.adi.status()
    );
    user.adi.device.set_bus_master(false)?;
    ensure!(
        !user.adi.status().contains(Status::READY),
        "{:?}",
        user.adi.status()
    );
    let before = user.get(1);
    user.put(0, 2);
    user.adi.submit(&copy(page(0), page(1), PAGE));
    user.adi.device.set_bus_master(true)?;
    // Its doorbell was lost, as the device says; this one's was not.
    user.adi.succeed(&copy(page(2), page(3), PAGE))?;
    ensure!(
        user.adi.completed() == 1,
        "{} completed",
        user.adi.completed()
    );
    expect_equal("the destination", &user.get(1), &before)
}

pub fn reset(c: &mut Context) -> Result {
    let mdev = c.create()?;
    let user = alone(&mdev.0)?;
    user.adi.succeed(&copy(page(0), page(1), 64))?;
    user.adi.write32(offset::RING_ORDER, 3);
    user.adi.device.reset()?;
    ensure!(
        user.adi.completed() == 0,
        "{} completed",
        user.adi.completed()
    );
    ensure!(
        user.adi.read32(offset::RING_ORDER) == 0,
        "the ring's size stays"
    );
    ensure!(
        !user.adi.status().contains(Status::READY),
        "{:?}",
        user.adi.status()
    );
    user.adi.device.set_bus_master(true)?;
    let data = user.put(4, 3);
    user.adi.succeed(&copy(page(4), page(5), PAGE))?;
    expect_equal("the copy after a reset", &user.get(5), &data)
}

pub fn isolation(c: &mut Context) -> Result {
    let mdevs = [c.create()?, c.create()?];
    let users = [alone(&mdevs[0].0)?, alone(&mdevs[1].0)?];
    let data: Vec<_> = users
        .iter()
        .zip(10..)
        .map(|(user, seed)| user.put(0, seed))
        .collect();
    for user in &users {
        user.adi.succeed(&copy(page(0), page(1), PAGE))?;
    }
    for (user, data) in users.iter().zip(&data) {
        expect_equal("the copy", &user.get(1), data)?;
    }
    // What one unmaps stays with the other.
    let [first, second] = users;
    first.container.unmap(IOVA, PAGES * PAGE)?;
    second.adi.succeed(&copy(page(0), page(2), PAGE))?;
    expect_equal("the copy", &second.get(2), &data[1])
}

pub fn shared(c: &mut Context) -> Result {
    let mdevs = [c.create()?, c.create()?, c.create()?];
    let mut container = Container::new()?;
    let memory = Mapping::memory(PAGES * PAGE)?;
    let first = UserAdi::open(&mut container, &mdevs[0].0)?;
    container.map(IOVA, &memory, 0, PAGES * PAGE, Access::ReadWrite)?;
    // These find what is mapped already.
    let second = UserAdi::open(&mut container, &mdevs[1].0)?;
    let third = UserAdi::open(&mut container, &mdevs[2].0)?;
    let data = bytes(PAGE, 20);
    memory.write(0, &data);
    for (index, adi) in [&first, &second, &third].into_iter().enumerate() {
        adi.succeed(&copy(page(index), page(index + 1), PAGE))?;
    }
    expect_equal(
        "what went through three devices",
        &memory.read(3 * PAGE, PAGE),
        &data,
    )?;
    drop(second);
    third.succeed(&copy(page(0), page(5), PAGE))?;
    expect_equal("the copy", &memory.read(5 * PAGE, PAGE), &data)
}

/// A container with a domain that translates one device's requests without PASID, and three
/// devices' requests with one.
pub fn beside_pci(c: &mut Context) -> Result {
    let mdevs = [c.create()?, c.create()?, c.create()?];
    let function = Function::all(EDU)?.pop().context("the guest has no edu")?;
    let mut container = Container::new()?;
    let pci = container.add(&function)?;
    pci.set_bus_master(true)?;
    let edu = Edu::new(pci.map_bar(0)?)?;
    let adis = mdevs
        .iter()
        .map(|mdev| UserAdi::open(&mut container, &mdev.0))
        .collect::<Result<Vec<_>>>()?;
    let memory = Mapping::memory(PAGES * PAGE)?;
    container.map(IOVA, &memory, 0, PAGES * PAGE, Access::ReadWrite)?;
    let data = bytes(PAGE, 21);
    memory.write(0, &data);
    edu.read(page(0), PAGE)?;
    edu.write(page(1), PAGE)?;
    for (index, adi) in (1..).zip(&adis) {
        adi.succeed(&copy(page(index), page(index + 1), PAGE))?;
    }
    expect_equal(
        "what went through four devices",
        &memory.read(4 * PAGE, PAGE),
        &data,
    )?;
    // The ADIs go, the PCI device works on.
    drop(adis);
    edu.write(page(5), PAGE)?;
    expect_equal("what edu wrote", &memory.read(5 * PAGE, PAGE), &data)
}

/// Keeps a device busy for ever: fills all of its memory, again and again.
pub fn keep_busy(user: &User) -> Result {
    loop {
        user.adi.succeed(&fill(IOVA, PAGES * PAGE, 0x5a5a))?;
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Requests that go where nothing is mapped.

use crate::context::{page, Context, User, IOVA, PAGES};
use crate::{alone, flag};
use anyhow::{ensure, Context as _};
use siov_kselftests::adi::{signals, VECTOR_COMPLETION, VECTOR_FAULT};
use siov_kselftests::edu::Edu;
use siov_kselftests::ktap::{expect_faults, Result};
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pci::{Function, EDU};
use siov_kselftests::siov_testdev::regs::fault_region::{flags, Record, SLOTS};
use siov_kselftests::siov_testdev::regs::{CompletionStatus, FaultReason, FaultSource};
use siov_kselftests::siov_testdev::{copy, fill};
use siov_kselftests::vfio::{Access, Container};
use siov_kselftests::{poll, sysfs, PAGE};

/// Behind what is mapped.
const STRAY: usize = PAGES + 4;

/// Writes to page [`STRAY`], which must fail.
pub fn stray(user: &User) -> Result {
    expect_faults(4);
    let completion = user.adi.execute(&fill(page(STRAY) + 8, 64, 0))?;
    ensure!(
        completion.status == CompletionStatus::Fault,
        "{completion:x?}"
    );
    ensure!(
        completion.fault_address.raw() == page(STRAY) + 8,
        "{completion:x?}"
    );
    Ok(())
}

/// The only record, once all who know something have told it.
fn record(user: &User) -> Result<Record> {
    let mut all = flags::DEVICE | flags::TAGGED | flags::WRITE;
    if flag("--joined") {
        all |= flags::IOMMU;
    }
    let records = poll::until("the fault is recorded", || {
        let records = user.adi.faults()?;
        Ok(records
            .iter()
            .all(|r| r.flags == all)
            .then_some(records)
            .filter(|r| !r.is_empty()))
    })?;
    ensure!(records.len() == 1, "{records:x?}");
    Ok(records[0])
}

pub fn delivered(c: &mut Context) -> Result {
    let mdev = c.create()?;
    let user = alone(&mdev.0)?;
    let error = user.adi.listen_for_faults()?;
    let completion = user.adi.listen(VECTOR_COMPLETION)?;
    stray(&user)?;
    poll::until_true("the error eventfd is signalled", || {
        Ok(signals(&error)? != 0)
    })?;
    let record = record(&user)?;
    ensure!(record.address == page(STRAY) + 8, "{record:x?}");
    ensure!(
        record.device_reason() == Some(FaultReason::Blocked),
        "{record:x?}"
    );
    ensure!(
        record.device_source() == Some(FaultSource::Destination),
        "{record:x?}"
    );
    ensure!(record.pasid != 0, "{record:x?}");
    if flag("--joined") {
        ensure!(record.iommu_reason != 0, "{record:x?}");
    }
    ensure!(signals(&completion)? == 0, "a completion interrupt");

    // Who takes faults as an interrupt of the device is not told by the error eventfd.
    drop(user);
    let user = alone(&mdev.0)?;
    ensure!(user.adi.faults()?.is_empty(), "faults of the last user");
    let error = user.adi.listen_for_faults()?;
    let fault = user.adi.listen(VECTOR_FAULT)?;
    stray(&user)?;
    poll::until_true("the eventfd of vector 0 is signalled", || {
        Ok(signals(&fault)? != 0)
    })?;
    self::record(&user)?;
    ensure!(signals(&error)? == 0, "an error as well");
    // The device works on.
    user.adi.succeed(&copy(page(0), page(1), PAGE))?;
    Ok(())
}

pub fn private(c: &mut Context) -> Result {
    let mdevs = [c.create()?, c.create()?];
    let [guilty, other] = [alone(&mdevs[0].0)?, alone(&mdevs[1].0)?];
    let heard = other.adi.listen_for_faults()?;
    stray(&guilty)?;
    record(&guilty)?;
    ensure!(other.adi.faults()?.is_empty(), "{:x?}", other.adi.faults()?);
    ensure!(signals(&heard)? == 0, "the other user was told");
    Ok(())
}

pub fn many(c: &mut Context) -> Result {
    let mdev = c.create()?;
    let user = alone(&mdev.0)?;
    expect_faults(400);
    let error = user.adi.listen_for_faults()?;
    for number in 0..SLOTS + 10 {
        let address = page(STRAY + number);
        let completion = user.adi.execute(&fill(address, 64, 0))?;
        ensure!(
            completion.status == CompletionStatus::Fault,
            "{completion:x?}"
        );
        // Each one before the next, or the device counts some without a record.
        poll::until_true("the fault is told", || {
            let records = user.adi.faults()?;
            Ok(records
                .iter()
                .any(|r| r.address == address && r.flags & flags::DEVICE != 0))
        })?;
    }
    ensure!(signals(&error)? != 0, "nobody was told");
    let records = user.adi.faults()?;
    ensure!(records.len() == SLOTS, "{} records", records.len());
    Ok(())
}

/// Where a message interrupts the second processor, and what with: a vector of KVM's that nobody
/// uses here, whose interrupts the kernel counts.
const MESSAGE_AT: u64 = 0xfee0_1000;
const MESSAGE: u64 = 0xf2;
const COUNTER: &str = "PIN:";

/// How often that vector came, on all processors.
fn messages() -> Result<u64> {
    let text = sysfs::read("/proc/interrupts")?;
    let line = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(COUNTER));
    let counts = line.context(COUNTER)?.split_whitespace();
    Ok(counts.map_while(|word| word.parse::<u64>().ok()).sum())
}

/// Requests with a PASID to the interrupt window are translated like any other (VT-d 4.0, 3.14).
/// Nothing is mapped there: the range is reserved. A PCI device's write, which has no PASID, is a
/// message wherever interrupts are not remapped.
pub fn window(c: &mut Context) -> Result {
    let mdev = c.create()?;
    let user = alone(&mdev.0)?;
    let before = messages()?;
    expect_faults(4);
    let completion = user.adi.execute(&fill(MESSAGE_AT, 4, MESSAGE))?;
    ensure!(
        completion.status == CompletionStatus::Fault,
        "{completion:x?}"
    );
    user.adi.succeed(&copy(page(0), page(1), PAGE))?;
    if flag("--joined") {
        let function = Function::all(EDU)?.pop().context("the guest has no edu")?;
        let mut container = Container::new()?;
        let device = container.add(&function)?;
        device.set_bus_master(true)?;
        let edu = Edu::new(device.map_bar(0)?)?;
        let memory = Mapping::memory(PAGE)?;
        memory.write(0, &MESSAGE.to_le_bytes());
        container.map(IOVA, &memory, 0, PAGE, Access::ReadWrite)?;
        edu.read(IOVA, 4)?;
        edu.write(MESSAGE_AT, 4)?;
        poll::until_true("the message of the PCI device arrives", || {
            Ok(messages()? != before)
        })?;
    }
    let now = messages()?;
    let theirs = u64::from(flag("--joined"));
    ensure!(now == before + theirs, "{now} messages, {before} before");
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0

//! Ends of all kinds while a descriptor is under way.

use crate::context::Context;
use anyhow::ensure;
use siov_kselftests::in_flight::{begin, expect_silence, written, PAGES};
use siov_kselftests::ktap::{expect_faults, skip, Result};
use siov_kselftests::siov_testdev::regs::privileged::Command;
use siov_kselftests::siov_testdev::regs::{global, CompletionStatus, FaultReason, FaultSource};
use siov_kselftests::siov_testdev::{copy, fill, Adi, SiovTestdev};
use siov_kselftests::space::{expect_blocked, page, IOVA};
use siov_kselftests::{poll, sysfs, PAGE};
use std::fs;

pub fn commands(c: &mut Context) -> Result {
    let space = c.space(90, 16)?;
    let adi = c.root.adi(2);

    begin(adi, &space, 90)?;
    adi.drain()?;
    ensure!(adi.status().is_empty());
    ensure!(written(&space) == PAGES);
    ensure!(space.buffer.memory.read32(15 * PAGE) == CompletionStatus::Success as u32);
    expect_silence(&space)?;

    begin(adi, &space, 90)?;
    adi.command(Command::Abort);
    ensure!(adi.status().is_empty());
    let aborted = adi.completion().map(|completion| completion.status);
    ensure!(aborted == Some(CompletionStatus::Aborted), "{aborted:?}");
    ensure!(written(&space) < PAGES);
    expect_silence(&space)?;

    begin(adi, &space, 90)?;
    adi.command(Command::Reset);
    ensure!(adi.status().is_empty() && adi.completed() == 0);
    expect_silence(&space)?;

    begin(adi, &space, 90)?;
    c.root.reset();
    expect_silence(&space)?;
    ensure!(c.root.global32(global::offset::STATUS) & global::Status::ACTIVE.bits() == 0);
    // As good as new.
    adi.enable(Some(90));
    adi.succeed(&copy(page(0), page(1), PAGE))?;
    c.root.reset();
    Ok(())
}

/// A driver that forgets to drain: the IOMMU must end it.
pub fn detach(c: &mut Context) -> Result {
    let space = c.space(91, 16)?;
    let adi = c.root.adi(2);
    begin(adi, &space, 91)?;
    // The page that is next, and the completion record.
    expect_faults(2);
    space.domain.detach(&c.root.function, 91)?;
    let left = written(&space);
    expect_silence(&space)?;
    let completion = adi.wait(1)?;
    ensure!(
        completion.status == CompletionStatus::Fault,
        "{completion:x?}"
    );
    let fault = adi.take_fault();
    ensure!(
        fault.is_some_and(|fault| {
            fault.reason == Some(FaultReason::Blocked)
                && fault.pasid == Some(91)
                && fault.address == page(left)
        }),
        "{fault:x?} after {left} pages"
    );
    ensure!(written(&space) == left && left < PAGES);
    c.root.reset();
    Ok(())
}

/// What Linux does when a driver lets go of a function, or a user of VFIO resets it.
pub fn function_reset(c: &mut Context) -> Result {
    let space = c.space(92, 16)?;
    let adi = c.root.adi(2);
    let methods = sysfs::read(c.root.function.path("reset_method"))?;
    ensure!(
        methods.split(' ').any(|method| method == "flr"),
        "reset methods: {methods}"
    );
    begin(adi, &space, 92)?;
    sysfs::write(c.root.function.path("reset"), "1")?;
    ensure!(adi.status().is_empty() && adi.completed() == 0);
    expect_silence(&space)?;
    // The kernel has restored configuration space, PASID included.
    adi.enable(Some(92));
    adi.succeed(&copy(page(0), page(1), PAGE))?;
    c.root.reset();
    Ok(())
}

/// The slot of the device behind the root port.
fn slot_of(device: &SiovTestdev) -> Result<String> {
    let address = device.function.address();
    for entry in fs::read_dir("/sys/bus/pci/slots")? {
        let slot = entry?.path();
        let here = sysfs::read(slot.join("address"))?;
        if address
            .strip_prefix(&here)
            .is_some_and(|rest| rest.starts_with('.'))
        {
            return Ok(slot.to_string_lossy().into_owned());
        }
    }
    anyhow::bail!("no slot for {address}")
}

/// The kernel takes the slot's power away while the device works: it must vanish without harm.
pub fn unplug(c: &mut Context) -> Result {
    let Some(device) = c.behind_port.take() else {
        return Err(skip("there is no device behind a root port"));
    };
    let space = c.detached_space(16)?;
    for pasid in 100..108 {
        space.domain.attach(&device.function, pasid)?;
    }
    for (index, pasid) in (0..device.adis()).zip(100..) {
        begin(device.adi(index), &space, pasid)?;
    }
    let slot = slot_of(&device)?;
    // The driver switches bus mastering off before it detaches the PASIDs, so nothing faults.
    sysfs::write(format!("{slot}/power"), "0")?;
    poll::until_true("the device goes", || Ok(!device.function.exists()))?;
    expect_silence(&space)?;

    // The other one has noticed nothing.
    let rest = c.space(93, 4)?;
    let adi = c.root.adi(0);
    adi.enable(Some(93));
    let data = rest.fill(0, 1);
    adi.succeed(&copy(IOVA, page(1), PAGE))?;
    rest.expect(1, &data)?;
    adi.drain()?;
    expect_blocked_again(adi)
}

/// And still tells faults.
fn expect_blocked_again(adi: Adi<'_>) -> Result {
    adi.enable(Some(93));
    expect_blocked(
        adi,
        Some(93),
        &fill(page(4), 8, 0),
        FaultSource::Destination,
        page(4),
    )?;
    adi.drain()
}

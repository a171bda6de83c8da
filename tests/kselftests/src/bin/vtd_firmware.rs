// SPDX-License-Identifier: GPL-2.0

//! What firmware says in the DMAR table, heeded: which unit has which function, and memory that
//! must stay mapped one to one. Goes with the table of `vtd-firmware.suite`.
//!
//! The guest has one edu of each kind in the order of their addresses: named with a reserved
//! region, not named at all, below a named bridge.

use anyhow::{ensure, Context as _};
use nix::errno::Errno;
use siov_kselftests::edu::Edu;
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{self, expect_console, expect_faults, Plan, Result};
use siov_kselftests::ktest::{Direction, Ktest};
use siov_kselftests::pattern::{bytes, expect_equal};
use siov_kselftests::pci::{Function, EDU};
use siov_kselftests::sysfs::expect_errno;
use siov_kselftests::vfio::Container;
use siov_kselftests::{faults, sysfs, PAGE};
use std::process::ExitCode;

/// The reserved memory region. The kernel's command line keeps it out of the page allocator.
const RESERVED: (u64, u64) = (0x3000_0000, 0x300f_ffff);

struct Context {
    ktest: Ktest,
    reserved: Function,
    unnamed: Function,
    below: Function,
}

fn setup() -> Result<Context> {
    let functions = Function::all(EDU)?;
    let [reserved, unnamed, below] = functions.as_slice() else {
        anyhow::bail!("the guest has {} edu, not three", functions.len());
    };
    ensure!(below.id() & 0xff00 != 0, "{below} is not below a bridge");
    Ok(Context {
        ktest: Ktest::open()?,
        reserved: reserved.clone(),
        unnamed: unnamed.clone(),
        below: below.clone(),
    })
}

fn scopes(c: &mut Context) -> Result {
    ensure!(
        c.reserved.group().is_some(),
        "{} is named and has no group",
        c.reserved
    );
    ensure!(
        c.below.group().is_some(),
        "{} is below a named bridge and has no group",
        c.below
    );
    ensure!(
        c.unnamed.group().is_none(),
        "{} is not named and has a group",
        c.unnamed
    );
    Ok(())
}

fn listed(c: &mut Context) -> Result {
    let text = sysfs::read(c.reserved.group_path()?.join("reserved_regions"))?;
    let (first, last) = RESERVED;
    let line = format!("{first:#018x} {last:#018x} direct");
    ensure!(
        text.lines().any(|known| known == line),
        "{line:?} is not in {text:?}"
    );
    let msi = "0x00000000fee00000 0x00000000feefffff msi";
    ensure!(
        text.lines().any(|known| known == msi),
        "{msi:?} is not in {text:?}"
    );
    let other = sysfs::read(c.below.group_path()?.join("reserved_regions"))?;
    ensure!(
        !other.contains("direct"),
        "{} has a region: {other:?}",
        c.below
    );
    Ok(())
}

/// The page of a buffer, written by way of the reserved region: into it, and out of it again.
fn round_trip(c: &Context, function: &Function, blocked: u64) -> Result<(Vec<u8>, Vec<u8>)> {
    let edu = Edu::new(function.map_bar(0)?)?;
    let buffer = c.ktest.buffer(1)?;
    let data = bytes(PAGE, u64::from(function.id()));
    buffer.memory.write(0, &data);
    let source = buffer.dma_map(function, 0, PAGE, Direction::ToDevice, 64)?;
    let target = buffer.dma_map(function, PAGE, PAGE, Direction::FromDevice, 64)?;
    let inside = RESERVED.1 + 1 - PAGE as u64;
    faults::expect(function, blocked, || {
        edu.read(source, PAGE)?;
        edu.write(inside, PAGE)?;
        // So that the buffer in the device does not have the data any more.
        edu.read(target, PAGE)?;
        edu.read(inside, PAGE)?;
        edu.write(target, PAGE)
    })?;
    buffer.dma_unmap(function, source)?;
    buffer.dma_unmap(function, target)?;
    Ok((data, buffer.memory.read(PAGE, PAGE)))
}

fn mapped(c: &mut Context) -> Result {
    let function = c.reserved.clone();
    for kind in ["DMA-FQ", "DMA", "identity", "DMA"] {
        function.unbind()?;
        function.set_domain_type(kind)?;
        c.ktest.take(&function)?;
        for address in [RESERVED.0, RESERVED.1, RESERVED.0 + 0x8_1234] {
            let phys = c.ktest.current_phys(&function, address)?;
            ensure!(
                phys == Some(address),
                "{kind}: {address:#x} translates to {phys:x?}"
            );
        }
        if kind != "identity" {
            let beside = c.ktest.current_phys(&function, RESERVED.1 + 1)?;
            ensure!(
                beside.is_none(),
                "{kind}: the page after it translates to {beside:x?}"
            );
        }
        let (data, back) = round_trip(c, &function, if kind == "identity" { 0 } else { 1 })?;
        expect_equal(&format!("{kind}: out of the region"), &back, &data)?;
    }
    Ok(())
}

fn not_for_others(c: &mut Context) -> Result {
    let function = c.below.clone();
    c.ktest.take(&function)?;
    ensure!(
        function.domain_type()? == "DMA-FQ",
        "type {}",
        function.domain_type()?
    );
    let phys = c.ktest.current_phys(&function, RESERVED.0)?;
    ensure!(
        phys.is_none(),
        "the region translates to {phys:x?} for {function}"
    );
    let (data, back) = round_trip(c, &function, 3)?;
    ensure!(data != back, "{function} has reached the region");
    Ok(())
}

fn not_for_user_space(c: &mut Context) -> Result {
    let mut log = KernelLog::from_now()?;
    let mut container = Container::new()?;
    expect_errno(
        container.add(&c.reserved),
        Errno::EINVAL,
        "VFIO with a reserved region",
    )?;
    log.wait_for(&[c.reserved.address(), "1:1 IOMMU mapping"])?;
    drop(container);
    let mut container = Container::new()?;
    container.add(&c.below).context("VFIO without one")?;
    Ok(())
}

fn main() -> ExitCode {
    expect_faults(12);
    expect_console("Firmware has requested this device have a 1:1 IOMMU mapping");
    ktap::run(setup, |context| {
        Plan::new(context)
            .case("units have the functions that their scopes name", scopes)
            .case(
                "a reserved region is listed for the device it is for",
                listed,
            )
            .case("it is mapped one to one in every type of domain", mapped)
            .case("it is not mapped for other devices", not_for_others)
            .case(
                "a device with a reserved region is not given to user space",
                not_for_user_space,
            )
            .run()
    })
}

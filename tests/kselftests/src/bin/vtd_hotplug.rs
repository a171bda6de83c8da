// SPDX-License-Identifier: GPL-2.0

//! Devices that come and go behind vtd: removed and found again through sysfs, plugged and
//! unplugged by QEMU, and two of them below a PCIe-to-PCI bridge, whose requests look alike.

use anyhow::{ensure, Context as _};
use serde_json::json;
use siov_kselftests::edu::Edu;
use siov_kselftests::ktap::{self, expect_faults, Plan, Result};
use siov_kselftests::ktest::{prot, Buffer, Domain, Ktest, NO_PASID};
use siov_kselftests::monitor::Monitor;
use siov_kselftests::pattern::{bytes, expect_equal};
use siov_kselftests::pci::{self, Function, EDU, NVME};
use siov_kselftests::traffic::disk;
use siov_kselftests::{faults, poll, stats, sysfs, PAGE};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const IOVA: u64 = 6 << 30;

struct Context {
    ktest: Ktest,
    monitor: Monitor,
    /// On the root bus.
    plain: Function,
    /// Below the PCIe-to-PCI bridge.
    twins: [Function; 2],
    /// Those that are there from the start.
    known: Vec<Function>,
    seed: u64,
}

fn setup() -> Result<Context> {
    let functions = Function::all(EDU)?;
    let [plain, first, second] = functions.as_slice() else {
        anyhow::bail!("the guest has {} edu, not three", functions.len());
    };
    ensure!(
        first.id() >> 8 == second.id() >> 8,
        "{first} and {second} are on two buses"
    );
    Ok(Context {
        ktest: Ktest::open()?,
        monitor: Monitor::open()?,
        plain: plain.clone(),
        twins: [first.clone(), second.clone()],
        known: functions.clone(),
        seed: 0,
    })
}

/// A domain with one page mapped at [`IOVA`].
struct Space {
    domain: Domain,
    buffer: Buffer,
}

impl Context {
    /// A domain that `function` is attached to, through the driver iommu_ktest.
    fn attach(&self, function: &Function) -> Result<Space> {
        self.ktest.take(function)?;
        let buffer = self.ktest.buffer(0)?;
        let domain = self.ktest.domain(function)?;
        domain.map(IOVA, buffer.phys, PAGE, prot::BOTH)?;
        domain.attach(function, NO_PASID)?;
        Ok(Space { domain, buffer })
    }

    /// Has `function` read the page of `space`, and write it.
    fn expect_dma(&mut self, function: &Function, space: &Space) -> Result {
        self.seed += 1;
        let data = bytes(PAGE, self.seed);
        let edu = Edu::new(function.map_bar(0)?)?;
        let memory = &space.buffer.memory;
        memory.write(0, &data);
        faults::expect(function, 0, || edu.read(IOVA, PAGE))?;
        memory.zero();
        faults::expect(function, 0, || edu.write(IOVA, PAGE))?;
        expect_equal(&format!("page of {function}"), &memory.read(0, PAGE), &data)
    }

    /// Attaches `function`, and has it do DMA.
    fn expect_works(&mut self, function: &Function) -> Result<Space> {
        let space = self.attach(function)?;
        self.expect_dma(function, &space)?;
        Ok(space)
    }

    /// The edu that was not there at the start.
    fn plugged(&self) -> Result<Option<Function>> {
        let now = Function::all(EDU)?;
        Ok(now
            .into_iter()
            .find(|function| !self.known.contains(function)))
    }

    fn plug_edu(&mut self) -> Result<Function> {
        let mask = u64::MAX;
        let device = json!({ "driver": "edu", "id": "hot", "bus": "hot1", "dma_mask": mask });
        self.monitor.plug(device)?;
        poll::until("the plugged edu appears", || self.plugged())
    }
}

fn rescanned(c: &mut Context) -> Result {
    const TIMES: usize = 5;
    let function = c.plain.clone();
    let mut pages = None;
    for _ in 0..TIMES {
        // With the domain attached: the driver goes first.
        let space = c.expect_works(&function)?;
        function.remove()?;
        drop(space);
        pci::rescan()?;
        ensure!(function.exists(), "{function} was not found again");
        ensure!(
            function.domain_type()? == "DMA-FQ",
            "type {}",
            function.domain_type()?
        );
        let now = stats::iommu_pages()?;
        let before = *pages.get_or_insert(now);
        ensure!(
            now <= before,
            "{now} pages of tables, {before} after the first time"
        );
    }
    c.expect_works(&function).map(drop)
}

fn twins(c: &mut Context) -> Result {
    let [first, second] = c.twins.clone();
    let group = first.group();
    ensure!(
        group.is_some() && group == second.group(),
        "{first} and {second} share no group"
    );
    ensure!(
        group != c.plain.group(),
        "{first} shares a group with {}",
        c.plain
    );
    c.ktest.take(&second)?;
    let space = c.expect_works(&first)?;
    // The attachment is the group's.
    c.expect_dma(&second, &space)?;
    c.expect_dma(&first, &space)?;
    space.domain.unmap(IOVA, PAGE)?;
    for function in [&first, &second] {
        let edu = Edu::new(function.map_bar(0)?)?;
        let before = faults::counter("faults")?;
        space.buffer.memory.zero();
        edu.write(IOVA, PAGE)?;
        // Their requests look alike, so either may be the one that is blamed.
        poll::until_true("the write is blocked", || {
            Ok(faults::counter("faults")? == before + 1)
        })?;
        let memory = space.buffer.memory.read(0, PAGE);
        expect_equal("unmapped page", &memory, &vec![0; PAGE])?;
    }
    Ok(())
}

fn one_twin(c: &mut Context) -> Result {
    // Either may be the one whose tables the shared requester id leads to.
    for keep in [0, 1] {
        let (stays, goes) = (c.twins[keep].clone(), c.twins[1 - keep].clone());
        let group = stays.group();
        let space = c.expect_works(&stays)?;
        goes.remove()?;
        c.expect_dma(&stays, &space)?;
        pci::rescan()?;
        ensure!(goes.exists(), "{goes} was not found again");
        ensure!(
            goes.group() == group,
            "{goes} is in group {:?}, not {group:?}",
            goes.group()
        );
        c.expect_dma(&stays, &space)?;
        // No driver may come into a group that somebody has attached a domain to.
        drop(space);
        c.ktest.take(&goes)?;
        let space = c.expect_works(&stays)?;
        c.expect_dma(&goes, &space)?;
    }
    Ok(())
}

fn both_twins(c: &mut Context) -> Result {
    for function in c.twins.clone() {
        function.remove()?;
    }
    pci::rescan()?;
    let [first, second] = c.twins.clone();
    ensure!(
        first.exists() && second.exists(),
        "they were not found again"
    );
    c.ktest.take(&second)?;
    let space = c.expect_works(&first)?;
    c.expect_dma(&second, &space)
}

fn plugged(c: &mut Context) -> Result {
    const TIMES: usize = 4;
    let mut pages = None;
    for time in 0..TIMES {
        let function = c.plug_edu()?;
        poll::until_true("the plugged edu is in a group", || {
            Ok(function.group().is_some())
        })?;
        let space = c.expect_works(&function)?;
        if time % 2 == 0 {
            c.monitor.unplug("hot")?;
        } else {
            sysfs::write(slot_of(&function)?.join("power"), "0")?;
        }
        poll::until_true("the unplugged edu goes", || Ok(!function.exists()))?;
        c.monitor.wait_deleted("hot")?;
        drop(space);
        let now = stats::iommu_pages()?;
        let before = *pages.get_or_insert(now);
        ensure!(
            now <= before,
            "{now} pages of tables, {before} after the first time"
        );
    }
    Ok(())
}

/// The slot that `function` sits in.
fn slot_of(function: &Function) -> Result<PathBuf> {
    let (bus_and_device, _) = function.address().split_once('.').context("address")?;
    for slot in fs::read_dir("/sys/bus/pci/slots")? {
        let slot = slot?.path();
        if sysfs::read(slot.join("address"))? == bus_and_device {
            return Ok(slot);
        }
    }
    anyhow::bail!("{function} sits in no slot")
}

fn plugged_disk(c: &mut Context) -> Result {
    let device = json!({ "driver": "nvme", "id": "hotdisk", "bus": "hot2", "drive": "disk", "serial": "hot" });
    c.monitor.plug(device)?;
    let function = poll::until(
        "the plugged disk appears",
        || Ok(Function::all(NVME)?.pop()),
    )?;
    let path = disk::block_device(&function)?;
    ensure!(
        function.domain_type()? == "DMA-FQ",
        "type {}",
        function.domain_type()?
    );
    disk::exercise(&path, 2, Duration::from_millis(500), 77)?;
    c.monitor.unplug("hotdisk")?;
    poll::until_true("the unplugged disk goes", || Ok(!function.exists()))?;
    c.monitor.wait_deleted("hotdisk")
}

fn nothing_blocked(_: &mut Context) -> Result {
    // The two of the twins' case.
    let blocked = faults::counter("faults")?;
    ensure!(blocked == 2, "{blocked} requests were blocked, not 2");
    Ok(())
}

fn main() -> ExitCode {
    expect_faults(2);
    ktap::run(setup, |context| {
        Plan::new(context)
            .case("a device is removed and found again", rescanned)
            .case(
                "two devices below a bridge share a group and a domain",
                twins,
            )
            .case(
                "one of them goes and comes, and the other works on",
                one_twin,
            )
            .case("both of them go and come", both_twins)
            .case("a device is plugged and unplugged", plugged)
            .case("a disk is plugged, works, and is unplugged", plugged_disk)
            .case("nothing else was blocked", nothing_blocked)
            .run()
    })
}

// SPDX-License-Identifier: GPL-2.0

//! The main job, for people to watch: data moves by disk, network and a test device through page
//! tables that `vtd` has made, a stray request is blocked, and the tables are printed; then
//! interfaces of one device use the same addresses for memory of their own, first in the hands of a
//! driver, then as mediated devices in those of two processes.
//!
//! Exit status: 0 when all of it went well.

#![forbid(unsafe_code)]

mod aux;
mod mdev;
mod summary;
mod user;

use crate::summary::{heading, Summary};
use anyhow::{ensure, Context, Result};
use siov_kselftests::edu::Edu;
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pattern;
use siov_kselftests::pci::{Function, E1000E, EDU, NVME};
use siov_kselftests::traffic::{disk, net};
use siov_kselftests::vfio::{Access, Container};
use siov_kselftests::{faults, ktap, sysfs, PAGE};
use std::process::ExitCode;
use std::time::Duration;

/// Where the test device's buffer is mapped, and an address next to it that is not.
const MAPPED: u64 = 0x10_0000;
const UNMAPPED: u64 = 0x20_0000;

/// Prints the first lines of the tables that are about `function`.
fn print_tables(function: &Function, most: usize) -> Result<()> {
    print_tables_where(function, most, |_| true)
}

/// Prints the first lines of the tables that are about `function` and that `wanted` wants.
fn print_tables_where(
    function: &Function,
    most: usize,
    wanted: impl Fn(&str) -> bool,
) -> Result<()> {
    for unit in faults::units()? {
        let text = sysfs::read(format!("{unit}/tables"))?;
        let mut lines = text
            .lines()
            .skip_while(|line| !line.starts_with(function.address()));
        let Some(first) = lines.next() else { continue };
        println!("   {first}");
        let own: Vec<_> = lines.take_while(|line| line.starts_with(' ')).collect();
        let mut shown = 0;
        for line in own.iter().filter(|line| wanted(line)).take(most) {
            println!("   {line}");
            shown += 1;
        }
        if own.len() > shown {
            println!("       ... {} more lines", own.len() - shown);
        }
    }
    Ok(())
}

fn units(log: &mut KernelLog) -> Result<()> {
    heading("vtd has taken the remapping hardware");
    let line = log.wait_for(&["vtd: dmar0 at"])?;
    println!("   {}", line.trim());
    Ok(())
}

fn move_disk(summary: &mut Summary) -> Result<()> {
    let controller = Function::first(NVME)?;
    heading(&format!(
        "disk: the controller at {controller} reads and writes memory"
    ));
    let device = disk::block_device(&controller)?;
    let before = faults::counter("wait")?;
    let bytes = disk::exercise(&device, 2, Duration::from_secs(2), 1)?;
    let waits = faults::counter("wait")? - before;
    println!(
        "   {} MiB written, read back and compared; domain type {}, {waits} waits for the invalidation queue",
        bytes >> 20,
        controller.domain_type()?,
    );
    print_tables(&controller, 6)?;
    summary.add("disk", &controller, format!("{} MiB intact", bytes >> 20));
    Ok(())
}

fn move_network(summary: &mut Summary) -> Result<()> {
    let cards = Function::all(E1000E)?;
    let [near, far] = cards.as_slice() else {
        anyhow::bail!("the guest has not two network cards");
    };
    heading(&format!(
        "network: TCP between the cards at {near} and {far}"
    ));
    let bytes = net::exercise(near, far, 1, Duration::from_secs(2), 2)?;
    println!("   {} KiB sent, received and compared", bytes >> 10);
    summary.add("network", near, format!("{} KiB intact", bytes >> 10));
    Ok(())
}

fn move_test_device(summary: &mut Summary, log: &mut KernelLog) -> Result<()> {
    let function = Function::first(EDU)?;
    heading(&format!(
        "test device at {function}, driven by this program through VFIO"
    ));
    let mut container = Container::new()?;
    let device = container.add(&function)?;
    device.set_bus_master(true)?;
    let edu = Edu::new(device.map_bar(0)?)?;

    let memory = Mapping::memory(2 * PAGE)?;
    let data = pattern::bytes(PAGE, 3);
    memory.write(0, &data);
    container.map(MAPPED, &memory, 0, 2 * PAGE, Access::ReadWrite)?;
    edu.read(MAPPED, PAGE)?;
    edu.write(MAPPED + PAGE as u64, PAGE)?;
    ensure!(memory.read(PAGE, PAGE) == data, "the copy differs");
    println!(
        "   a page copied by the device from {MAPPED:#x} to {:#x}, intact",
        MAPPED + PAGE as u64
    );
    print_tables(&function, 6)?;
    summary.add("test device", &function, String::from("1 page intact"));

    heading(&format!(
        "and now it writes to {UNMAPPED:#x}, where nothing is mapped"
    ));
    let before = faults::of(&function)?;
    edu.write(UNMAPPED, PAGE)?;
    let line = log.wait_for(&["vtd fault", function.requester()])?;
    println!("   {}", line.trim());
    ensure!(faults::of(&function)? > before, "the fault was not counted");
    ensure!(memory.read(0, PAGE) == data, "memory has changed");
    println!("   the memory of this program is unchanged");
    summary.add(
        "stray write",
        &function,
        String::from("blocked, reported, nothing changed"),
    );
    Ok(())
}

fn show() -> Result<()> {
    let mut log = KernelLog::from_start()?;
    let mut summary = Summary::default();
    units(&mut log)?;
    move_disk(&mut summary)?;
    move_network(&mut summary)?;
    move_test_device(&mut summary, &mut log)?;
    aux::show(&mut summary, &mut log)?;
    mdev::show(&mut summary, &mut log)?;

    heading("what the units have done");
    for unit in faults::units()? {
        for line in sysfs::read(format!("{unit}/counters"))?.lines() {
            if !line.ends_with(" 0") {
                println!("   {line}");
            }
        }
    }
    summary.print();
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["user", uuid, text] => user::run(uuid, text).context("a process of the demonstration"),
        _ => {
            // The harness fails on blocked requests that nobody has announced.
            ktap::expect_faults(12);
            show().context("the demonstration failed")
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

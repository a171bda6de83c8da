// SPDX-License-Identifier: GPL-2.0

//! `coalesced_io_livepatch.ko` over the stock kvm.ko: when it refuses, and what becomes of machines when
//! it is switched off.

use anyhow::ensure;
use nix::errno::Errno;
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{expect_console, Plan, Result};
use siov_kselftests::{kernel_module, poll, sysfs};
use siov_vmm::guest::{Kind, Operation};
use siov_vmm::{debugfs, Event, Machine, Zone};
use std::path::Path;
use std::process::ExitCode;

const MODULE: &str = "coalesced_io_livepatch";
const PORTS: [u16; 3] = [0x80, 0x90, 0xa0];

fn patch(file: &str) -> String {
    format!("/sys/kernel/livepatch/{MODULE}/{file}")
}

/// Loads the patch and waits until every task has come over to it.
fn switch_on() -> Result {
    kernel_module::load(MODULE, "")?;
    poll::until_true("the patch is on", || {
        Ok(sysfs::read(patch("transition"))? == "0")
    })
}

/// Switches it off and waits until no task runs it.
fn switch_off() -> Result {
    sysfs::write(patch("enabled"), "0")?;
    poll::until_true("the patch is off", || Ok(!Path::new(&patch("")).exists()))
}

/// Waits until as many machines as this keep the module: livepatch lets go of it a little after the patch has
/// disappeared.
fn expect_users(count: u64) -> Result {
    poll::until_true("the machines that keep the module", || {
        Ok(kernel_module::references(MODULE)? == count)
    })
}

fn unload() -> Result {
    expect_users(0)?;
    kernel_module::unload(MODULE)
}

fn zone(port: u16) -> Zone {
    Zone::pio(port, 1)
}

fn is_counted(machine: &Machine) -> bool {
    debugfs::path(&machine.vm).exists()
}

/// Which of the ports have their writes coalesced.
fn coalesced(machine: &mut Machine) -> Result<[bool; 3]> {
    let mut result = [true; 3];
    for (port, result) in PORTS.into_iter().zip(&mut result) {
        let write = Operation::new(Kind::Out8, port.into(), 1);
        machine.vcpu.start(&[write])?;
        while machine.vcpu.run()? != Event::Halt {
            *result = false;
        }
        let entry = machine.ring.pop();
        ensure!(entry.is_some() == *result, "port {port:#x}: {entry:?}");
    }
    Ok(result)
}

fn refused(_: &mut ()) -> Result {
    expect_console(&format!(
        "^{MODULE}: [12] virtual machines? of KVM exists?: load this before"
    ));
    let first = Machine::new()?;
    for (count, second) in [
        ("1 virtual machine of", None),
        ("2 virtual machines of", Some(())),
    ] {
        let _second = second.map(|()| Machine::new()).transpose()?;
        let mut log = KernelLog::from_now()?;
        let result = kernel_module::load(MODULE, "");
        sysfs::expect_errno(result, Errno::EBUSY, "loading")?;
        let lines = log.lines()?;
        let said = |line: &String| line.contains(MODULE) && line.contains(count);
        ensure!(
            lines.iter().any(said),
            "no line about {count} KVM: {lines:?}"
        );
        ensure!(!kernel_module::is_loaded(MODULE), "it is loaded");
    }
    drop(first);
    Ok(())
}

fn loads(_: &mut ()) -> Result {
    switch_on()?;
    let mut machine = Machine::new()?;
    zone(PORTS[0]).register(&machine.vm)?;
    ensure!(is_counted(&machine), "not by our code");
    ensure!(coalesced(&mut machine)? == [true, false, false]);
    drop(machine);
    let result = kernel_module::unload(MODULE);
    sysfs::expect_errno(result, Errno::EWOULDBLOCK, "unloading while it is on")?;
    switch_off()?;
    unload()
}

/// A machine keeps its zones, and the code of these stays as long as they do.
fn switched_off(_: &mut ()) -> Result {
    switch_on()?;
    let mut machine = Machine::new()?;
    for port in &PORTS[..2] {
        zone(*port).register(&machine.vm)?;
    }
    let mut without_zones = Machine::new()?;
    zone(PORTS[0]).register(&without_zones.vm)?;
    zone(PORTS[0]).unregister(&without_zones.vm)?;
    switch_off()?;

    ensure!(!is_counted(&machine), "the counters are still there");
    ensure!(!is_counted(&without_zones), "the counters are still there");
    ensure!(coalesced(&mut machine)? == [true, true, false], "ours stay");
    zone(PORTS[2]).register(&machine.vm)?;
    ensure!(coalesced(&mut machine)? == [true, true, true], "one of C's");
    zone(PORTS[0]).unregister(&machine.vm)?;
    ensure!(
        coalesced(&mut machine)? == [false, true, true],
        "ours, by C"
    );
    ensure!(coalesced(&mut without_zones)? == [false; 3]);
    expect_users(1)?;
    let result = kernel_module::unload(MODULE);
    sysfs::expect_errno(result, Errno::EWOULDBLOCK, "unloading with zones")?;
    drop(machine);
    unload()?;
    ensure!(coalesced(&mut without_zones)? == [false; 3]);
    Ok(())
}

/// The last zone of ours lets go of the module, not only the machine's end.
fn last_zone(_: &mut ()) -> Result {
    switch_on()?;
    let mut machine = Machine::new()?;
    zone(PORTS[1]).register(&machine.vm)?;
    switch_off()?;
    expect_users(1)?;
    zone(PORTS[1]).unregister(&machine.vm)?;
    unload()?;
    zone(PORTS[1]).register(&machine.vm)?;
    ensure!(coalesced(&mut machine)? == [false, true, false], "by C");
    Ok(())
}

fn main() -> ExitCode {
    Plan::new(())
        .case("refused while machines exist", refused)
        .case("switched on and off", loads)
        .case("switched off under a machine", switched_off)
        .case("the last zone", last_zone)
        .run()
}

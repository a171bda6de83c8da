// SPDX-License-Identifier: GPL-2.0

//! `coalesced_io_livepatch.ko` over the stock kvm.ko: when it refuses, and what becomes of machines
//! when it is switched off.

use anyhow::ensure;
use nix::errno::Errno;
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{expect_console, Plan, Result};
use siov_kselftests::stuck_page::StuckPage;
use siov_kselftests::{kernel_module, poll, sysfs};
use siov_vmm::guest::{Kind, Operation};
use siov_vmm::{debugfs, Event, Machine, Zone};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

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

/// Waits until as many machines as this keep the module: livepatch lets go of it a little after the
/// patch has disappeared.
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

/// strip(1) leaves relocations that are for no section.
fn stripped(_: &mut ()) -> Result {
    const SHF_RELA_LIVEPATCH: u64 = 0x10_0000;
    expect_console(&format!("^{MODULE}: not linked for livepatch, or stripped"));
    let mut bytes = fs::read(kernel_module::file(MODULE)?)?;
    let at = |bytes: &[u8], from: usize, len: usize| -> u64 {
        let mut word = [0; 8];
        word[..len].copy_from_slice(&bytes[from..from + len]);
        u64::from_le_bytes(word)
    };
    // e_shoff, e_shentsize and e_shnum; sh_flags and sh_info.
    let (table, size) = (at(&bytes, 40, 8) as usize, at(&bytes, 58, 2) as usize);
    let headers = (0..at(&bytes, 60, 2) as usize).map(|n| table + n * size);
    let ours: Vec<_> = headers
        .filter(|header| at(&bytes, header + 8, 8) & SHF_RELA_LIVEPATCH != 0)
        .collect();
    ensure!(!ours.is_empty(), "no relocations of livepatch");
    for header in ours {
        bytes[header + 44..header + 48].fill(0);
    }
    let file = "/tmp/stripped.ko";
    fs::create_dir_all("/tmp")?;
    fs::write(file, bytes)?;
    let result = kernel_module::load_file(file, "");
    sysfs::expect_errno(result, Errno::ENOEXEC, "loading")
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

/// Whoever reads the counters of one machine keeps no other from coming and going meanwhile.
fn slow_reader(_: &mut ()) -> Result {
    switch_on()?;
    let ending = Machine::new()?;
    zone(PORTS[0]).register(&ending.vm)?;
    let counted = Machine::new()?;
    zone(PORTS[0]).register(&counted.vm)?;
    let mut file = File::open(debugfs::path(&counted.vm))?;

    let (place, page) = StuckPage::new()?;
    let reader = thread::spawn(move || file.read(page));
    place.wait_for_fault()?;
    let off = thread::spawn(switch_off);
    // Whoever looks for the file itself would wait, too.
    poll::until_true("KVM's own code", || {
        Ok(sysfs::read(patch("kvm/patched"))? == "0")
    })?;
    let (done, is_done) = mpsc::channel();
    let others = thread::spawn(move || {
        drop(ending);
        let result = Machine::new().map(drop);
        let _ = done.send(());
        result
    });
    let in_time = is_done.recv_timeout(poll::patience());

    drop(place);
    reader.join().expect("a reader")?;
    off.join().expect("a writer")?;
    others.join().expect("machines")?;
    ensure!(in_time.is_ok(), "machines waited for the reader");
    // Nothing of the other one is left.
    expect_users(1)?;
    drop(counted);
    unload()
}

fn main() -> ExitCode {
    Plan::new(())
        .case("refused while machines exist", refused)
        .case("stripped after it was linked", stripped)
        .case("switched on and off", loads)
        .case("switched off under a machine", switched_off)
        .case("the last zone", last_zone)
        .case("switched off while somebody reads", slow_reader)
        .run()
}

// SPDX-License-Identifier: GPL-2.0

//! Stock QEMU with `-accel kvm`: its clock and its PCI host bridge register zones by themselves,
//! and firmware of ours writes to them.
//!
//! Argument `counted`: the counters in debugfs must show it; `upstream`: there are none.

use anyhow::ensure;
use siov_kselftests::ktap::{note, Plan, Result};
use siov_kselftests::qemu::Qemu;
use siov_vmm::board::{Clock, HostBridge};
use siov_vmm::debugfs::{self, Counts};
use siov_vmm::guest::{
    rom, ROM_BRIDGE_BYTE_WRITES, ROM_BRIDGE_WRITES, ROM_CLOCK_VALID, ROM_CLOCK_WRITES, ROM_END,
};
use siov_vmm::Zone;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// QEMU with firmware of ours.
fn start(machine: &str) -> Result<Qemu> {
    let (firmware, said) = (Path::new("/tmp/rom"), Path::new("/tmp/said"));
    fs::write(firmware, rom())?;
    let firmware = firmware.display().to_string();
    let debug = format!("file:{}", said.display());
    #[rustfmt::skip]
    let arguments = [
        "-m", "64", "-accel", "kvm", "-cpu", "host", "-M", machine, "-bios", &firmware, "-debugcon", &debug,
    ];
    Qemu::start(&arguments, said)
}

fn machine(name: &str, identity: u32, counted: bool) -> Result {
    let mut qemu = start(name)?;
    qemu.wait_until("the firmware is through", |qemu| {
        Ok(qemu.said()?.ends_with(&[ROM_END]))
    })?;
    let said = qemu.said()?;
    let mut expected = vec![ROM_CLOCK_VALID];
    expected.extend(identity.to_le_bytes());
    expected.push(ROM_END);
    ensure!(
        said == expected,
        "the firmware read {said:x?}, expected {expected:x?}"
    );
    if !counted {
        return Ok(());
    }
    let report = debugfs::read(&debugfs::only_vm()?.join("coalesced_io"))?;
    note(format!("{report:x?}"));
    let (clock, counts) = report.ports(Clock::INDEX)?;
    all_but_when_full(clock, counts, ROM_CLOCK_WRITES)?;
    // Port 0xcf9 resets the machine, and QEMU cuts it out of the zone that it wants for the bridge,
    // so no write of four bytes is coalesced. That is what counters are for.
    let (bridge, counts) = report.ports(HostBridge::ADDRESS)?;
    let writes = match bridge.size {
        1 => ROM_BRIDGE_BYTE_WRITES,
        _ => ROM_BRIDGE_BYTE_WRITES + ROM_BRIDGE_WRITES,
    };
    all_but_when_full(bridge, counts, writes)
}

fn all_but_when_full(zone: &Zone, counts: &Counts, writes: u64) -> Result {
    ensure!(
        counts.coalesced + counts.full == writes && counts.coalesced > 9 * writes / 10,
        "{zone:x?}, {writes} writes: {counts:?}"
    );
    Ok(())
}

fn main() -> ExitCode {
    let counted = match std::env::args().nth(1).as_deref() {
        Some("counted") => true,
        Some("upstream") => false,
        _ => {
            eprintln!("usage: kvm_qemu counted|upstream");
            return ExitCode::from(2);
        }
    };
    Plan::new(())
        .case("q35", |_: &mut ()| machine("q35", 0x29c0_8086, counted))
        .case("i440fx", |_: &mut ()| machine("pc", 0x1237_8086, counted))
        .run()
}

// SPDX-License-Identifier: GPL-2.0

//! Tests of the x86 payload in QEMU with KVM, in a guest whose only virtual machine it is: QEMU
//! registers its zones by itself, and KVM's files in debugfs tell what became of the exits.

use super::{ensure_measured, ensure_skipped, Payloads};
use anyhow::{bail, ensure, Context, Result};
use micro_bench::figures::{parse_json, Line};
use micro_bench::qemu::{exit_status, Arch, Run};
use siov_kselftests::ktap::{note, Plan};
use siov_vmm::debugfs::{self, Report};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ExitCode, Stdio};

/// Repetitions of each test; well above what a ring holds.
const REPEAT: u64 = 600;
/// Index register of the clock.
const RTC_INDEX: u16 = 0x70;

/// QEMU, ended when dropped.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the payload printed and what KVM counted, the firmware's accesses included.
struct Seen {
    lines: Vec<Line>,
    hypercalls: u64,
    report: Option<Report>,
}

/// Runs the payload until it has printed its status, and reads the counters while the machine is
/// still there: it stops where it would end.
fn run(payloads: &Payloads, machine: &str, counted: bool) -> Result<Seen> {
    let mut run = Run::new(Arch::X86_64, &payloads.0);
    run.machine = machine.to_owned();
    run.accel = "kvm".to_owned();
    run.exit_device = false;
    run.append = format!("mode=json timeout-ms=60000 repeat={REPEAT}");
    run.qemu.push("-no-shutdown".to_owned());
    let child = run.command().stdout(Stdio::piped()).spawn();
    let mut qemu = Qemu(child.context("cannot start QEMU")?);
    let stdout = qemu.0.stdout.take().context("QEMU has no output")?;
    let mut output = String::new();
    for line in BufReader::new(stdout).lines() {
        let line = line?.replace('\r', "");
        output += &line;
        output.push('\n');
        if exit_status(&line).is_some() {
            break;
        }
    }
    note(&output);
    ensure!(exit_status(&output) == Some(0), "exit status");
    let vm = debugfs::only_vm()?;
    let hypercalls = std::fs::read_to_string(vm.join("hypercalls"))?;
    let report = counted.then(|| debugfs::read(&vm.join("coalesced_io")));
    Ok(Seen {
        lines: parse_json(&output)?,
        hypercalls: hypercalls.trim().parse()?,
        report: report.transpose()?,
    })
}

/// Whether every test ran under KVM, and KVM saw the hypercalls and collected the writes to the
/// clock's index.
fn check(payloads: &Payloads, machine: &str, counted: bool) -> Result<()> {
    let seen = run(payloads, machine, counted)?;
    for line in &seen.lines {
        ensure!(line.machine.ends_with(" KVM"), "{}", line.machine);
        match line.test.as_str() {
            "mmio_write_coalesced" => {
                ensure_skipped(&seen.lines, &line.test, "give coalesced-mmio=")?;
            }
            // A slow machine may come to fewer in the time there is; the guest counts its
            // interrupts.
            "ipi" | "self_ipi" => ensure!(line.outcome.figures().is_some(), "{line:?}"),
            test => ensure_measured(&seen.lines, test, REPEAT)?,
        }
    }
    ensure!(!seen.lines.is_empty(), "no line");
    ensure!(
        seen.hypercalls == REPEAT + 1,
        "{} hypercalls",
        seen.hypercalls
    );
    let Some(report) = seen.report else {
        return Ok(());
    };
    note(format!("{report:x?}"));
    let (_, counts) = report.ports(RTC_INDEX)?;
    // The firmware writes there as well, for as long as it waits for something.
    if counts.coalesced + counts.full < REPEAT || counts.coalesced < REPEAT * 9 / 10 {
        bail!("{REPEAT} writes to the clock's index: {counts:?}");
    }
    Ok(())
}

/// Runs all tests; `counted` says whether KVM counts what it collects.
pub fn run_all(payloads: &Path, counted: bool) -> ExitCode {
    Plan::new(Payloads(payloads.to_owned()))
        .case("q35", |payloads: &mut Payloads| {
            check(payloads, "q35", counted)
        })
        .case("pc", |payloads: &mut Payloads| {
            check(payloads, "pc", counted)
        })
        .run()
}

// SPDX-License-Identifier: GPL-2.0

//! Tests of the payloads: golden runs, what QEMU saw of them, and machines that lack or break
//! something.

mod arm;
mod golden;
pub mod kvm;
mod x86;

use anyhow::{bail, ensure, Context, Result};
use micro_bench::figures::{parse_json, Line, Outcome};
use micro_bench::qemu::{Arch, Ended, Run};
use micro_bench_model::output::EXIT_USAGE;
use siov_kselftests::ktap::Plan;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A test.
pub struct Check {
    /// As on the command line.
    pub name: &'static str,
    /// Does it.
    pub run: fn(&Payloads) -> Result<()>,
}

/// Where the payloads are.
pub struct Payloads(PathBuf);

impl Payloads {
    /// A run with instructions for nanoseconds, so that every figure repeats. A lost interrupt is
    /// not waited for long.
    pub fn counted(&self, arch: Arch, machine: &str, append: &str) -> Run {
        let mut run = Run::new(arch, &self.0);
        run.machine = machine.to_owned();
        run.icount = true;
        run.append = format!("timeout-ms=200 {append}");
        run
    }
}

/// Runs those of `names`, which may be beginnings of names; all without any.
pub fn run(payloads: &Path, names: &[String]) -> ExitCode {
    let wanted = |name: &str| {
        names.is_empty() || names.iter().any(|wanted| name.starts_with(wanted.as_str()))
    };
    let checks = arm::CHECKS.iter().chain(x86::CHECKS);
    checks
        .filter(|check| wanted(check.name))
        .fold(Plan::new(Payloads(payloads.to_owned())), |plan, check| {
            plan.case(check.name, |payloads| (check.run)(payloads))
        })
        .run()
}

/// An error with the output if the status is another.
pub fn ensure_status(ended: &Ended, status: u8) -> Result<()> {
    ensure!(
        ended.status == status,
        "exit status {} instead of {status}:\n{}{}",
        ended.status,
        ended.output,
        ended.errors
    );
    Ok(())
}

/// An error unless two runs print the same to the byte.
pub fn repeats_exactly(run: &Run) -> Result<()> {
    let first = run.execute()?;
    ensure_status(&first, 0)?;
    let second = run.execute()?;
    ensure!(
        first.output == second.output,
        "two runs differ:\n{}{}",
        first.output,
        second.output
    );
    Ok(())
}

/// An error unless the payload does not understand its arguments, and says so in a line.
pub fn ensure_refused(run: &Run, message: &str) -> Result<()> {
    let ended = run.execute()?;
    ensure_status(&ended, EXIT_USAGE)?;
    ensure!(
        ended.output.lines().any(|line| line == message),
        "no line {message:?}:\n{}",
        ended.output
    );
    Ok(())
}

/// The lines of a run with `mode=json` that ended with `status`.
pub fn lines(run: &Run, status: u8) -> Result<Vec<Line>> {
    let mut run = run.clone();
    run.append += " mode=json";
    let ended = run.execute()?;
    ensure_status(&ended, status)?;
    parse_json(&ended.output)
}

/// The outcome of a test.
pub fn outcome<'a>(lines: &'a [Line], test: &str) -> Result<&'a Outcome> {
    let line = lines.iter().find(|line| line.test == test);
    Ok(&line.with_context(|| format!("no line for {test}"))?.outcome)
}

/// An error unless the test was skipped for this reason.
pub fn ensure_skipped(lines: &[Line], test: &str, reason: &str) -> Result<()> {
    match outcome(lines, test)? {
        Outcome::Skipped(text) if text == reason => Ok(()),
        other => bail!("{test}: {other:?} instead of skipped: {reason}"),
    }
}

/// An error unless the test failed for this reason.
pub fn ensure_failed(lines: &[Line], test: &str, reason: &str) -> Result<()> {
    match outcome(lines, test)? {
        Outcome::Failed(text) if text == reason => Ok(()),
        other => bail!("{test}: {other:?} instead of failed: {reason}"),
    }
}

/// An error unless the test was measured `count` times.
pub fn ensure_measured(lines: &[Line], test: &str, count: u64) -> Result<()> {
    match outcome(lines, test)? {
        Outcome::Measured(figures) if figures.count == count => Ok(()),
        other => bail!("{test}: {other:?} instead of {count} repetitions"),
    }
}

// SPDX-License-Identifier: GPL-2.0

//! `scripts/vm`: a guest that is described on the command line.

use super::Shared;
use crate::build::{self, Target};
use crate::context::{last_lines, make_dir, read_lossy, Context};
use crate::exit::{self, Code};
use crate::guest::follow::following;
use crate::guest::run::{prepare, Log, Outcome, Place};
use crate::guest::value::{positive, CopyFile, Disk, Iommu, Module, Plugin, Size};
use crate::guest::{Accel, Command, Guest, Kind};
use crate::terminal::{note, step_line};
use crate::verdict::End;
use anyhow::Result;
use std::fs;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SCRIPT: &str = include_str!("../../../../scripts/vm");

/// The command line.
#[derive(Clone, Debug, clap::Args)]
#[command(override_help = super::help(SCRIPT), override_usage = super::usage(SCRIPT))]
pub struct Args {
    #[command(flatten)]
    shared: Shared,
    #[arg(long, value_name = "M")]
    module: Vec<Module>,
    #[arg(long, value_name = "M")]
    have: Vec<Module>,
    #[arg(long, value_name = "I")]
    iommu: Option<Iommu>,
    #[arg(long, value_name = "ARGS")]
    device: Vec<String>,
    #[arg(long, value_name = "ID=SIZE")]
    disk: Vec<Disk>,
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    qemu: Vec<String>,
    #[arg(long, value_name = "FILE")]
    plugin: Vec<Plugin>,
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    append: Vec<String>,
    #[arg(long, value_name = "FILE[:PATH]")]
    copy: Vec<CopyFile>,
    #[arg(long, value_name = "NAME")]
    program: Vec<String>,
    #[arg(long, value_name = "N", value_parser = positive::<NonZeroU32>)]
    smp: Option<NonZeroU32>,
    #[arg(long, value_name = "SIZE")]
    mem: Option<Size>,
    #[arg(long, value_name = "S", value_parser = positive::<NonZeroU64>)]
    timeout: Option<NonZeroU64>,
    #[arg(long)]
    icount: bool,
    #[arg(long)]
    kvm: bool,
    #[arg(long)]
    shell: bool,
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    #[arg(long)]
    no_build: bool,
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Args {
    /// The guest that is asked for.
    fn guest(&self) -> Result<Guest> {
        if !self.shell && self.command.is_empty() {
            return Err(exit::usage("no command; say '-- COMMAND' or --shell"));
        }
        let default = Guest::default();
        let accel = match (self.icount, self.kvm) {
            (true, true) => return Err(exit::usage("--icount needs emulation, not --kvm")),
            (true, false) => Accel::Icount,
            (false, true) => Accel::Kvm,
            (false, false) => Accel::Tcg,
        };
        let mut commands = Vec::new();
        if !self.command.is_empty() {
            commands.push(Command {
                kind: Kind::Plain,
                line: self.command.join(" "),
            });
        }
        let timeout = self
            .timeout
            .map(|seconds| Duration::from_secs(seconds.get()));
        Ok(Guest {
            iommu: self.iommu.clone().unwrap_or(default.iommu),
            accel,
            smp: self.smp.unwrap_or(default.smp),
            mem: self.mem.clone().unwrap_or(default.mem),
            append: self.append.clone(),
            devices: self.device.clone(),
            qemu: self.qemu.clone(),
            disks: self.disk.clone(),
            modules: self.module.clone(),
            have: self.have.clone(),
            copies: self.copy.clone(),
            programs: self.program.clone(),
            commands,
            plugins: self.plugin.clone(),
            shell: self.shell,
            timeout: timeout.unwrap_or(default.timeout),
            ..default
        })
    }
}

/// Runs it.
///
/// # Errors
///
/// Usage, and what keeps the guest from being booted.
pub fn run(context: &Context, args: &Args) -> Result<Code> {
    let guest = args.guest()?;
    if !args.no_build {
        let targets = [
            Target::Modules,
            Target::Programs,
            Target::Plugins,
            Target::Payloads,
        ];
        build::required(context, &targets)?;
        context.remove_step_logs();
    }
    let dir = make_dir(&args.log.clone().unwrap_or_else(|| context.run_logs()))?;
    let place = Place {
        dir: &dir,
        log: Log::Inherit,
    };
    let prepared = prepare(context, &guest, &place)?;
    if guest.shell {
        prepared.run_shell(context, &place)?;
        return Ok(Code::DONE);
    }

    let terminal = &context.terminal;
    terminal.say("---- guest");
    let start = Instant::now();
    let output = dir.join("output.log");
    let outcome = following(
        &output,
        |line| terminal.say(line),
        || prepared.run(context, &guest, &place),
    )?;
    let (code, text) = ending(outcome, guest.timeout);
    terminal.say(&format!("----\n{}", step_line(start.elapsed(), &text)));
    if code == Code::DONE {
        if args.log.is_none() {
            fs::remove_dir_all(&dir)?;
        }
    } else {
        terminal.say_error(&tails(&dir, &["qemu.log", "console.log"])?);
        terminal.say(&note(&format!("logs: {}", dir.display())));
    }
    Ok(code)
}

/// The exit code of a run, and what it says.
fn ending(outcome: Outcome, timeout: Duration) -> (Code, String) {
    match outcome.end {
        End::Finished => {
            let code = match outcome.status {
                0 => Code::DONE,
                _ => Code::FAILED,
            };
            (code, format!("guest finished, status {}", outcome.status))
        }
        End::Timeout => (
            Code::TIMEOUT,
            format!("guest did not finish within {} s", timeout.as_secs()),
        ),
        End::Panic => (Code::PANIC, String::from("guest panicked")),
        End::Lost => (
            Code::GUEST,
            format!(
                "guest ended without finishing (QEMU's status: {})",
                outcome.status
            ),
        ),
    }
}

/// The last lines of logs, each below its name.
fn tails(dir: &Path, names: &[&str]) -> Result<String> {
    let tail = |name: &&str| {
        let path = dir.join(name);
        let log = read_lossy(&path)?;
        Ok(format!(
            "==> {} <==\n{}\n",
            path.display(),
            last_lines(&log, 20)
        ))
    };
    Ok(names.iter().map(tail).collect::<Result<Vec<_>>>()?.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn guest(words: &[&str]) -> Result<Guest> {
        let words = ["vm"].iter().chain(words);
        Line::try_parse_from(words)?.args.guest()
    }

    #[test]
    fn options_become_a_guest() {
        let guest = guest(&[
            "--module",
            "vfio_pci ids=8086:10d3",
            "--module=vtd",
            "--iommu",
            "intel,fsts=on",
            "--qemu",
            "-drive",
            "--qemu",
            "if=none",
            "--append",
            "a b",
            "--disk",
            "d=1M",
            "--smp",
            "4",
            "--mem",
            "2G",
            "--timeout",
            "7",
            "--",
            "cat",
            "/proc/iomem",
            "--x",
        ])
        .unwrap();
        assert_eq!(guest.modules[0].name(), "vfio_pci");
        assert_eq!(guest.modules.len(), 2);
        assert_eq!(guest.iommu, Iommu::Intel(Some(String::from("fsts=on"))));
        assert_eq!(guest.qemu, ["-drive", "if=none"]);
        assert_eq!(guest.smp.get(), 4);
        assert_eq!(guest.mem.to_string(), "2G");
        assert_eq!(guest.timeout, Duration::from_secs(7));
        assert_eq!(guest.accel, Accel::Tcg);
        assert_eq!(guest.commands.len(), 1);
        assert_eq!(guest.commands[0].line, "cat /proc/iomem --x");
    }

    #[test]
    fn what_is_no_guest() {
        for words in [
            &[][..],
            &["--smp", "0", "--", "x"],
            &["--icount", "--kvm", "--", "x"],
            &["--mem", "lots", "--", "x"],
            &["--iommu", "--", "x"],
            &["command"],
        ] {
            assert!(guest(words).is_err(), "{words:?}");
        }
        assert!(guest(&["--shell"]).unwrap().commands.is_empty());
    }

    #[test]
    fn exit_codes() {
        let code = |end, status| ending(Outcome { end, status }, Duration::from_secs(5)).0;
        assert_eq!(code(End::Finished, 0), Code(0));
        assert_eq!(code(End::Finished, 125), Code(1));
        assert_eq!(code(End::Timeout, 124), Code(8));
        assert_eq!(code(End::Panic, 0), Code(9));
        assert_eq!(code(End::Lost, 1), Code(10));
    }
}

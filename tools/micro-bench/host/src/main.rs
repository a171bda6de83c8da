// SPDX-License-Identifier: GPL-2.0

//! What scripts/micro-bench and scripts/test call.

#![forbid(unsafe_code)]

mod check;

use anyhow::{bail, Context, Result};
use micro_bench::compare::{compare, Threshold};
use micro_bench::figures::parse_json;
use micro_bench::qemu::{exit_status, Arch, Run};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};

const USAGE: &str = "\
Usage: micro-bench run --payloads DIR [OPTION]... [ARGUMENT]...
       micro-bench compare [--share PERCENT] [--floor NS] BEFORE.json AFTER.json
       micro-bench check --payloads DIR [NAME]...
       micro-bench check-kvm --payloads DIR [--counted]

Options of run: --arch A, --machine M, --cpu C, --accel A, --smp N, --icount, --qemu ARGUMENT.
";
/// Exit status for arguments that are not understood.
const USAGE_STATUS: u8 = 2;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.split_first() {
        Some((command, rest)) if command == "run" => run(rest),
        Some((command, rest)) if command == "compare" => run_compare(rest),
        Some((command, rest)) if command == "check" => run_check(rest),
        Some((command, rest)) if command == "check-kvm" => run_check_kvm(rest),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    result.unwrap_or_else(|error| {
        eprintln!("micro-bench: {error:#}");
        ExitCode::from(USAGE_STATUS)
    })
}

/// The value of an option.
fn value<'a>(option: &str, args: &mut impl Iterator<Item = &'a String>) -> Result<&'a String> {
    args.next()
        .with_context(|| format!("{option} needs a value"))
}

fn run(args: &[String]) -> Result<ExitCode> {
    let mut payloads = None;
    let mut arch = Arch::Aarch64;
    let mut options = Vec::new();
    let mut words = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--payloads" => payloads = Some(PathBuf::from(value(arg, &mut args)?)),
            "--arch" => {
                let name = value(arg, &mut args)?;
                arch =
                    Arch::by_name(name).with_context(|| format!("no instruction set '{name}'"))?;
            }
            "--icount" => options.push((arg.as_str(), "")),
            "--machine" | "--cpu" | "--accel" | "--smp" | "--qemu" => {
                options.push((arg.as_str(), value(arg, &mut args)?.as_str()));
            }
            option if option.starts_with('-') => bail!("unknown option '{option}'"),
            word => words.push(word),
        }
    }
    let mut run = Run::new(arch, &payloads.context("--payloads is missing")?);
    for (option, value) in options {
        match option {
            "--icount" => run.icount = true,
            "--machine" => run.machine = value.to_owned(),
            "--cpu" => run.cpu = value.to_owned(),
            "--accel" => run.accel = value.to_owned(),
            "--smp" => run.smp = value.parse().context("--smp takes a number")?,
            _ => run.qemu.push(value.to_owned()),
        }
    }
    run.append = words.join(" ");
    stream(&run)
}

/// Shows the output as it comes. Returns the payload's status.
fn stream(run: &Run) -> Result<ExitCode> {
    let mut child = run
        .command()
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start QEMU")?;
    let stdout = child.stdout.take().context("QEMU has no output")?;
    let mut last = String::new();
    for line in BufReader::new(stdout).lines() {
        let line = line?.replace('\r', "");
        println!("{line}");
        std::io::stdout().flush()?;
        if exit_status(&line).is_some() {
            last = line;
        }
    }
    let ended = child.wait()?;
    match exit_status(&last) {
        Some(status) => Ok(ExitCode::from(status)),
        None => bail!("the payload did not come to its end; QEMU: {ended}"),
    }
}

fn run_compare(args: &[String]) -> Result<ExitCode> {
    let mut threshold = Threshold::default();
    let mut files = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--share" => {
                let percent: f64 = value(arg, &mut args)?
                    .parse()
                    .context("--share takes a number")?;
                threshold.share = percent / 100.0;
            }
            "--floor" => {
                threshold.floor = value(arg, &mut args)?
                    .parse()
                    .context("--floor takes a number")?
            }
            option if option.starts_with('-') => bail!("unknown option '{option}'"),
            file => files.push(file),
        }
    }
    let [before, after] = files.as_slice() else {
        bail!(USAGE);
    };
    let read = |file: &str| -> Result<_> {
        let text = std::fs::read_to_string(file).with_context(|| file.to_owned())?;
        let lines = parse_json(&text).with_context(|| file.to_owned())?;
        if lines.is_empty() {
            bail!("{file}: no line of mode=json");
        }
        Ok(lines)
    };
    let comparison = compare(&read(before)?, &read(after)?, threshold);
    print!("{}", comparison.text);
    Ok(ExitCode::from(u8::from(comparison.is_worse())))
}

fn run_check(args: &[String]) -> Result<ExitCode> {
    match args {
        [option, payloads, names @ ..] if option == "--payloads" => {
            Ok(check::run(payloads.as_ref(), names))
        }
        _ => bail!(USAGE),
    }
}

/// In a guest that has /dev/kvm. With `--counted` its kvm.ko is ours.
fn run_check_kvm(args: &[String]) -> Result<ExitCode> {
    match args {
        [option, payloads, rest @ ..] if option == "--payloads" => {
            let counted = match rest {
                [] => false,
                [option] if option == "--counted" => true,
                _ => bail!(USAGE),
            };
            Ok(check::kvm::run_all(payloads.as_ref(), counted))
        }
        _ => bail!(USAGE),
    }
}

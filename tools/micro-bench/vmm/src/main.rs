// SPDX-License-Identifier: GPL-2.0

//! Runs the x86 payload of micro-bench under KVM and tells, for each of its tests, who saw how many
//! exits.
//!
//! A machine without firmware: memory, KVM's own interrupt controllers, a serial port that only
//! sends, and the registers that the tests touch. It needs nothing but /dev/kvm, so it runs
//! wherever a static program does.

mod board;
mod check;
mod counters;
mod elf;
mod machine;
mod memory;

use anyhow::{bail, Context, Result};
use machine::{Options, Status};
use std::process::ExitCode;

const USAGE: &str = "\
Usage: micro-bench-vmm run [--coalesce] PAYLOAD [ARGUMENT]...
       micro-bench-vmm check [--counted] PAYLOAD

run    runs the payload with two processors and shows its output, and behind each line the exits since the
       line before. ARGUMENT is for the payload.
check  runs it with and without coalescing and prints KTAP.

  --coalesce  have KVM collect writes to ports 0x70 and 0xcf8 and to address 0xd0000000
  --counted   KVM counts what it collects, and must count what came
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.split_first() {
        Some((command, rest)) if command == "run" => run(rest),
        Some((command, [payload])) if command == "check" => return check::run(payload, false),
        Some((command, [option, payload])) if command == "check" && option == "--counted" => {
            return check::run(payload, true)
        }
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("micro-bench-vmm: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &[String]) -> Result<u8> {
    let mut options = Options::default();
    let mut words = Vec::new();
    for arg in args {
        match arg.as_str() {
            "--coalesce" => options.coalesce = true,
            option if option.starts_with('-') => bail!("unknown option '{option}'"),
            word => words.push(word),
        }
    }
    let (payload, arguments) = words.split_first().context(USAGE)?;
    options.arguments = arguments.join(" ");
    let bytes = std::fs::read(payload).with_context(|| (*payload).to_owned())?;
    match machine::run(&bytes, &options)? {
        Status::Exit(status) => Ok(status),
        Status::Reset => bail!("the guest was reset"),
    }
}

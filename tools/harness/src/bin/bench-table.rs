// SPDX-License-Identifier: GPL-2.0

//! Prints the figures of several guests side by side.
//!
//! Exit status: 0 all figures are there, 1 some are missing, 2 usage or a malformed figure.

use siov_harness::bench::{parse, table, Aim};
use std::process::ExitCode;

const USAGE: &str = "\
Usage: bench-table [--aim PREFIX=RATIO]... VARIANT=OUTPUT.LOG...

The first variant is what the others are compared with. An aim holds for the rows whose name starts with
PREFIX, the longest that fits; rows above it are marked.
";

fn run() -> Result<bool, String> {
    let mut variants = Vec::new();
    let mut aims = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--help" {
            print!("{USAGE}");
            return Ok(true);
        }
        let is_aim = arg == "--aim";
        let arg = if is_aim {
            args.next().ok_or(USAGE)?
        } else {
            arg
        };
        let (name, value) = if is_aim {
            arg.rsplit_once('=')
        } else {
            arg.split_once('=')
        }
        .ok_or(USAGE)?;
        if is_aim {
            aims.push(Aim {
                prefix: name.to_owned(),
                ratio: value
                    .parse()
                    .map_err(|_| format!("not a ratio: {value:?}"))?,
            });
        } else {
            let bytes = std::fs::read(value).map_err(|error| format!("{value}: {error}"))?;
            variants.push(parse(name, &String::from_utf8_lossy(&bytes))?);
        }
    }
    if variants.iter().all(|variant| variant.rows.is_empty()) {
        return Err(String::from("there is no figure in any of the logs"));
    }
    let table = table(&variants, &aims);
    print!("{}", table.text);
    for line in &table.missing {
        println!("missing: {line}");
    }
    Ok(table.missing.is_empty())
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-table: {error}");
            ExitCode::from(2)
        }
    }
}

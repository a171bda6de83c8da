// SPDX-License-Identifier: GPL-2.0

//! Judges one guest run and prints what failed; the last line is `totals PASSED FAILED SKIPPED`.
//!
//! Exit status: 0 passed, 1 failed, 2 usage.

use regex_lite::Regex;
use siov_harness::verdict::{judge, End, Expectations};
use std::process::ExitCode;

const USAGE: &str = "\
Usage: ktap-check [--allow REGEX]... [--no-results] DIR

DIR holds output.log, console.log, qemu.log and end of a guest run, as scripts/vm --log leaves them.

  --allow REGEX   a report on the console that matches is no failure
  --no-results    the run need not have test cases
";

fn read(dir: &str, name: &str) -> Result<String, String> {
    let path = format!("{dir}/{name}");
    let bytes = std::fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn run() -> Result<bool, String> {
    let mut expected = Expectations {
        allowed: Vec::new(),
        needs_results: true,
    };
    let mut dir = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" => {
                print!("{USAGE}");
                return Ok(true);
            }
            "--allow" => {
                let pattern = args.next().ok_or("--allow needs a value")?;
                expected
                    .allowed
                    .push(Regex::new(&pattern).map_err(|error| format!("{pattern}: {error}"))?);
            }
            "--no-results" => expected.needs_results = false,
            _ if dir.is_none() && !arg.starts_with('-') => dir = Some(arg),
            _ => return Err(format!("unknown argument {arg:?}\n{USAGE}")),
        }
    }
    let dir = dir.ok_or(USAGE)?;
    let end = read(&dir, "end")?;
    let word = end.split_whitespace().next().unwrap_or("");
    let end = End::from_word(word).ok_or_else(|| format!("{dir}/end: unknown word {word:?}"))?;
    let verdict = judge(
        &read(&dir, "output.log")?,
        &read(&dir, "console.log")?,
        end,
        &expected,
    );
    for line in &verdict.report {
        println!("{line}");
    }
    if end == End::Lost {
        // Most often QEMU refused its command line.
        print!("{}", read(&dir, "qemu.log").unwrap_or_default());
    }
    for skip in &verdict.skips {
        println!("skipped {skip}");
    }
    let totals = verdict.totals;
    println!(
        "totals {} {} {}",
        totals.passed, totals.failed, totals.skipped
    );
    Ok(verdict.passed())
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ktap-check: {error}");
            ExitCode::from(2)
        }
    }
}

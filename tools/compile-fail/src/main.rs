// SPDX-License-Identifier: GPL-2.0

//! Checks that the compiler refuses the programs of tests/compile-fail, each for the reason that it
//! names, and that it takes each of them once the misuse is left out. `Documentation/harness.rst`
//! describes their format.
//!
//! Exit status: 0 all is well, 1 a case failed, 2 usage.

mod case;
mod command;
mod compile;
mod control;
mod diagnostics;

use crate::case::Case;
use crate::compile::{check, Judged, Places};
use crate::control::{Control, CONTROLS};
use crate::diagnostics::Verdict;
use anyhow::{Context, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;

const USAGE: &str = "\
Usage: compile-fail SOURCE BUILD [PART...]

Checks the cases in SOURCE/tests/compile-fail against Kbuild's output BUILD; with PARTs only those
that have one of them in their name.
";

/// Where the cases are, in the checkout.
const CASES: &str = "tests/compile-fail";

/// One line of the result.
enum Job {
    Case(String, PathBuf),
    Control(&'static Control),
}

/// What came of one: `None` for success, or why not.
type Failure = Option<String>;

impl Job {
    fn name(&self) -> &str {
        match self {
            Self::Case(name, _) => name,
            Self::Control(control) => control.name,
        }
    }

    fn run(&self, places: &Places) -> Failure {
        let result = match self {
            Self::Case(name, path) => run_case(places, name, path),
            Self::Control(control) => control.holds(places).map(|(holds, text)| {
                (!holds).then(|| format!("the suite judges it wrongly\n{text}"))
            }),
        };
        result.unwrap_or_else(|error| Some(format!("{error:#}")))
    }
}

fn run_case(places: &Places, name: &str, path: &Path) -> Result<Failure> {
    let case = Case::parse(name, &fs::read_to_string(path)?)?;
    let Judged { verdict, text } = check(places, &case)?;
    Ok(match verdict {
        Verdict::Ok => None,
        Verdict::Accepted => Some(format!("it compiles, and must not: {}", case.why)),
        Verdict::TwinRefused => Some(format!("it is refused without the misuse as well\n{text}")),
        Verdict::OtherErrors(others, missing) => {
            let mut reason = "refused for another reason".to_owned();
            for expected in &missing {
                reason.push_str(&format!("\nmissing: {expected}"));
            }
            if !others.is_empty() || missing.is_empty() {
                reason.push_str(&format!("\n{text}"));
            }
            Some(reason)
        }
    })
}

/// All files of cases below `dir`, by name.
fn find(dir: &Path, prefix: &str, found: &mut Vec<(String, PathBuf)>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        let name = format!("{prefix}{stem}");
        if path.is_dir() {
            find(&path, &format!("{name}/"), found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((name, path));
        }
    }
    Ok(())
}

/// Runs the jobs on all processors, and prints a line for each when it is done. Returns how many
/// failed.
fn run_all(places: &Places, jobs: &[Job]) -> usize {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let failure = job.run(places);
                    // Poisoned by a panic only, which ends the program when the scope ends.
                    let mut failed = failed.lock().unwrap_or_else(|e| e.into_inner());
                    match failure {
                        None => println!("ok {}", job.name()),
                        Some(reason) => {
                            *failed += 1;
                            let reason = reason.trim_end().replace('\n', "\n    ");
                            println!("not ok {}: {reason}", job.name());
                        }
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(|e| e.into_inner())
}

fn run(places: &Places, parts: &[String]) -> Result<bool> {
    let mut cases = Vec::new();
    find(&places.source.join(CASES), "", &mut cases)?;
    cases.sort();
    let mut jobs: Vec<_> = CONTROLS.iter().map(Job::Control).collect();
    jobs.extend(cases.into_iter().map(|(name, path)| Job::Case(name, path)));
    jobs.retain(|job| parts.is_empty() || parts.iter().any(|part| job.name().contains(part)));
    let failed = run_all(places, &jobs);
    let passed = jobs.len() - failed;
    let is_ok = failed == 0 && passed > 0;
    let result = if is_ok { "ok" } else { "FAILED" };
    println!("\ntest result: {result}. {passed} passed; {failed} failed; 0 ignored");
    Ok(is_ok)
}

/// Makes a directory of our own. The number of the process does not distinguish runs: each is in a
/// process namespace.
fn make_scratch() -> Result<PathBuf> {
    let mut number = 0u32;
    loop {
        let path = std::env::temp_dir().join(format!("compile-fail-{number}"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(source), Some(build)) = (arguments.next(), arguments.next()) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    let parts: Vec<_> = arguments.collect();
    let result = make_scratch().and_then(|scratch| {
        let places = Places {
            source: source.into(),
            build: build.into(),
            scratch,
        };
        let result = run(&places, &parts);
        let _ = fs::remove_dir_all(&places.scratch);
        result
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compile-fail: {error:#}");
            ExitCode::FAILURE
        }
    }
}

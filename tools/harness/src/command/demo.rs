// SPDX-License-Identifier: GPL-2.0

//! `scripts/demo`: guests whose output is shown as it comes.

use super::Shared;
use crate::context::{make_dir, read_lossy, Context};
use crate::exit::{self, Code};
use crate::guest::follow::following;
use crate::scenario::{load_folder, File, Scenario};
use crate::suite;
use crate::terminal::step_line;
use anyhow::Result;
use std::path::Path;
use std::time::Instant;

const SCRIPT: &str = include_str!("../../../../scripts/demo");

/// The command line.
#[derive(Clone, Debug, clap::Args)]
#[command(override_help = super::help(SCRIPT), override_usage = super::usage(SCRIPT))]
pub struct Args {
    #[command(flatten)]
    shared: Shared,
    #[arg(long)]
    list: bool,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Runs it.
///
/// # Errors
///
/// Usage, and what keeps the runner itself from working. A demonstration that fails is none.
pub fn run(context: &Context, args: &Args) -> Result<Code> {
    let files = load_folder(&context.setup.src.join("scripts/demo.d"), "scenario")?;
    let files = select(files, &args.names)?;
    super::run_files(context, args.list, &files, |file, logs| {
        let mut passed = true;
        for scenario in &file.scenarios {
            passed &= demo(context, scenario, logs)?;
        }
        Ok(passed)
    })
}

/// The files that are named, in the order of the names; all if there is no name.
fn select(files: Vec<File>, names: &[String]) -> Result<Vec<File>> {
    if names.is_empty() {
        return Ok(files);
    }
    let find = |name: &String| {
        let file = files.iter().find(|file| file.name == *name).cloned();
        file.ok_or_else(|| exit::usage(format!("no scenario '{name}' in scripts/demo.d")))
    };
    names.iter().map(find).collect()
}

/// Shows one guest. Returns whether all went well.
fn demo(context: &Context, scenario: &Scenario, logs: &Path) -> Result<bool> {
    let terminal = &context.terminal;
    let dir = make_dir(&logs.join(scenario.name.directory()))?;
    let guest = suite::guest(scenario, &context.setup.src, context.setup.debug);
    let start = Instant::now();
    terminal.say(&format!("\n==== {}\n", scenario.summary));
    let output = dir.join("output.log");
    let outcome = following(
        &output,
        |line| terminal.say(line),
        || suite::run(context, scenario, &guest, &dir, false),
    );
    let (text, failure) = match outcome {
        Ok(verdict) if verdict.passed() => (format!("demo {}", scenario.name), None),
        Ok(_) => (
            format!("FAILED: demo {}", scenario.name),
            Some(read_lossy(&dir.join("verdict"))?.trim_end().to_owned()),
        ),
        Err(error) => (
            format!("FAILED: demo {}", scenario.name),
            Some(suite::reason(&dir, &error)),
        ),
    };
    terminal.say(&format!("\n{}", step_line(start.elapsed(), &text)));
    if let Some(failure) = &failure {
        terminal.say(failure);
    }
    Ok(failure.is_none())
}

// SPDX-License-Identifier: GPL-2.0

//! `scripts/bench`: figures of several guests side by side.

use super::Shared;
use crate::context::{make_dir, read_lossy, Context};
use crate::exit::{self, Code};
use crate::figures::{self, Variant};
use crate::guest::value::positive;
use crate::guest::Accel;
use crate::jobs;
use crate::scenario::{load_folder, Clock, File, Scenario};
use crate::suite;
use crate::terminal::step_line;
use anyhow::{bail, Result};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

const SCRIPT: &str = include_str!("../../../../scripts/bench");

/// The command line.
#[derive(Clone, Debug, clap::Args)]
#[command(override_help = super::help(SCRIPT), override_usage = super::usage(SCRIPT))]
pub struct Args {
    #[command(flatten)]
    shared: Shared,
    #[arg(long)]
    list: bool,
    #[arg(long, value_name = "N", default_value = "2", value_parser = positive::<NonZeroUsize>)]
    jobs: NonZeroUsize,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Runs it.
///
/// # Errors
///
/// Usage, and what keeps the runner itself from working. A figure that is missing is none.
pub fn run(context: &Context, args: &Args) -> Result<Code> {
    if context.setup.debug {
        return Err(exit::usage("figures of the debug kernel would say nothing"));
    }
    let files = load_folder(&context.setup.src.join("scripts/bench.d"), "scenario")?;
    let files = select(files, &args.names)?;
    super::run_files(context, args.list, &files, |file, logs| {
        bench(context, args.jobs.get(), file, logs)
    })
}

/// The files that are named, in the order of the names; all if there is no name. A name stands for
/// the file of that name and those that are called NAME-something.
fn select(files: Vec<File>, names: &[String]) -> Result<Vec<File>> {
    if names.is_empty() {
        return Ok(files);
    }
    let mut selected = Vec::new();
    for name in names {
        if !files.iter().any(|file| file.name == *name) {
            let text = format!("no scenario '{name}' in scripts/bench.d");
            return Err(exit::usage(text));
        }
        let belongs = |file: &&File| {
            let rest = file.name.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        selected.extend(files.iter().filter(belongs).cloned());
    }
    Ok(selected)
}

/// Runs the guests of one file and prints their figures. Returns whether all of them are there.
fn bench(context: &Context, jobs: usize, file: &File, logs: &Path) -> Result<bool> {
    let start = Instant::now();
    let terminal = &context.terminal;
    let shown = terminal.running(&format!("bench {}", file.name), None);
    // What is measured in time depends on what else the machine does.
    let alone = file
        .scenarios
        .iter()
        .any(|scenario| scenario.clock == Clock::Wall);
    let jobs = if alone { 1 } else { jobs };
    let results = jobs::run(jobs, &file.scenarios, |scenario| {
        one_guest(context, scenario, logs)
    });
    drop(shown);
    let results: Vec<Measured> = results.into_iter().collect::<Result<_>>()?;
    let complaints: Vec<_> = results
        .iter()
        .filter_map(|one| one.complaint.as_deref())
        .collect();
    for complaint in &complaints {
        terminal.say(complaint);
    }
    terminal.say(&step_line(start.elapsed(), &format!("bench {}", file.name)));
    let (text, whole) = match table(file, &results) {
        Ok(table) => table,
        Err(error) => (format!("{error:#}"), false),
    };
    terminal.say(&format!("\n{}\n\n{text}\n", file.common.summary));
    Ok(whole && complaints.is_empty())
}

/// What a guest left behind.
struct Measured {
    scenario: Scenario,
    output: PathBuf,
    /// What failed.
    complaint: Option<String>,
}

fn one_guest(context: &Context, scenario: &Scenario, logs: &Path) -> Result<Measured> {
    let dir = make_dir(&logs.join(scenario.name.directory()))?;
    let mut guest = suite::guest(scenario, &context.setup.src, context.setup.debug);
    if scenario.clock == Clock::Icount {
        guest.accel = Accel::Icount;
    }
    let title = match &scenario.name.variant {
        Some(variant) => format!("---- {}, {variant}:", scenario.name.file),
        None => format!("---- {}:", scenario.name.file),
    };
    let complaint = match suite::run(context, scenario, &guest, &dir, false) {
        Ok(verdict) if verdict.passed() => None,
        Ok(_) => Some(read_lossy(&dir.join("verdict"))?.trim_end().to_owned()),
        Err(error) => Some(suite::reason(&dir, &error)),
    };
    Ok(Measured {
        scenario: scenario.clone(),
        output: dir.join("output.log"),
        complaint: complaint.map(|text| format!("{title}\n{text}")),
    })
}

/// The table of a file's figures, and whether it is whole.
fn table(file: &File, results: &[Measured]) -> Result<(String, bool)> {
    let mut variants = Vec::new();
    for one in results {
        let output = read_lossy(&one.output)?;
        variants.extend(figures_of(&one.scenario, &output)?);
    }
    if variants.iter().all(|variant| variant.rows.is_empty()) {
        bail!("there is no figure in any of the logs");
    }
    let table = figures::table(&variants, &file.common.aims);
    let missing = table.missing.iter().map(|line| format!("missing: {line}"));
    let text: Vec<_> = [table.text.trim_end().to_owned()]
        .into_iter()
        .chain(missing)
        .collect();
    Ok((text.join("\n"), table.missing.is_empty()))
}

/// One variant, or each of those that the guest measured in turn.
fn figures_of(scenario: &Scenario, output: &str) -> Result<Vec<Variant>> {
    let own = scenario.name.variant.as_deref().unwrap_or("figure");
    let own = [own.to_owned()];
    let names = match scenario.columns.as_slice() {
        [] => own.as_slice(),
        columns => columns,
    };
    names
        .iter()
        .map(|name| figures::parse(name, output).map_err(anyhow::Error::msg))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;

    fn file(name: &str, text: &str) -> File {
        parse(Path::new(&format!("{name}.scenario")), text).unwrap()
    }

    #[test]
    fn a_name_stands_for_more() {
        let files: Vec<_> = ["aux", "aux-vtd", "auxiliary", "kvm"]
            .map(|name| file(name, "plain = x\n"))
            .into();
        let names = |names: &[&str]| -> Result<Vec<String>> {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let files = select(files.clone(), &names)?;
            Ok(files.into_iter().map(|file| file.name).collect())
        };
        assert_eq!(names(&["kvm", "aux"]).unwrap(), ["kvm", "aux", "aux-vtd"]);
        assert_eq!(names(&["aux-vtd"]).unwrap(), ["aux-vtd"]);
        assert_eq!(names(&[]).unwrap().len(), 4);
        let error = names(&["none"]).unwrap_err().to_string();
        assert_eq!(error, "no scenario 'none' in scripts/bench.d");
    }

    #[test]
    fn columns_of_one_guest() {
        let file = file("a", "plain = x\nclock = wall\ncolumn = C\ncolumn = Rust\n");
        let output = "# bench[C] 3 ns write\n# bench[Rust] 2 ns write\n";
        let variants = figures_of(&file.scenarios[0], output).unwrap();
        let names: Vec<_> = variants.iter().map(|variant| &variant.name).collect();
        assert_eq!(names, ["C", "Rust"]);
        assert_eq!(variants[1].rows[0].value, 2.0);
    }

    #[test]
    fn one_column_per_variant() {
        let file = file("a", "plain = x\n[C]\n[vtd]\n");
        let variants = figures_of(&file.scenarios[1], "# bench 3 insn map\n").unwrap();
        assert_eq!(variants[0].name, "vtd");
    }
}

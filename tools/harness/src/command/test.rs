// SPDX-License-Identifier: GPL-2.0

//! `scripts/test`: the host checks, and the suites of tests/kselftests in guests.

use super::Shared;
use crate::build::{self, Target};
use crate::context::{make_dir, Context};
use crate::exit::{self, Code};
use crate::guest::value::positive;
use crate::host;
use crate::host::count::{count, Counts};
use crate::jobs;
use crate::ktap::Totals;
use crate::row::{sum, table, Row};
use crate::scenario::select::Selection;
use crate::scenario::{load_folder, Scenario};
use crate::suite;
use crate::terminal::{note, step_line};
use crate::verdict::Verdict;
use anyhow::Result;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SCRIPT: &str = include_str!("../../../../scripts/test");

/// The command line.
#[derive(Clone, Debug, clap::Args)]
#[command(override_help = super::help(SCRIPT), override_usage = super::usage(SCRIPT))]
pub struct Args {
    #[command(flatten)]
    shared: Shared,
    #[arg(long)]
    soak: bool,
    #[arg(long)]
    list: bool,
    #[arg(long, value_name = "N", default_value = "2", value_parser = positive::<NonZeroUsize>)]
    jobs: NonZeroUsize,
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// What is no suite: a name and what it shows.
const OTHERS: [(&str, &str); 2] = [
    (HOST, "formatting, clippy, host tests"),
    (
        MICRO_BENCH,
        "the bare-metal guests of tools/micro-bench, arm64 and x86",
    ),
];
const HOST: &str = "host";
const MICRO_BENCH: &str = "micro-bench";

/// Micro-bench runs on no kernel, and its figures are those of this kernel's root.
const MICRO_BENCH_KERNEL: &str = "7.3";

/// How many lines of a verdict are shown.
const SHOWN_LINES: usize = 60;

/// Runs it.
///
/// # Errors
///
/// Usage, and what keeps the runner itself from working. A failed test is none.
pub fn run(context: &Context, args: &Args) -> Result<Code> {
    let folder = context.setup.src.join("tests/kselftests");
    let files = load_folder(&folder, "suite")?;
    let selection = Selection::new(&args.names, args.soak).map_err(exit::usage)?;
    let all = files.iter().flat_map(|file| &file.scenarios);
    selection
        .check(&OTHERS.map(|(name, _)| name), all.clone())
        .map_err(exit::usage)?;
    let suites: Vec<_> = all
        .filter(|scenario| selection.wants_scenario(scenario))
        .collect();
    if args.list {
        context.terminal.say(&list(&selection, &suites));
        return Ok(Code::DONE);
    }
    let logs = match &args.log {
        Some(dir) => make_dir(dir)?,
        None => context.guest_logs()?,
    };
    let run = Run {
        context,
        logs: &logs,
        keep_logs: args.log.is_some(),
    };
    let rows = run.all(args.jobs.get(), &selection, &suites)?;
    if args.log.is_none() {
        // Logs of failed suites stay.
        let _ = fs::remove_dir(&logs);
    }
    let totals = sum(&rows);
    context.terminal.say(&table(&context.setup.title(), &rows));
    context.terminal.say(&format!(
        "\n{} passed, {} failed, {} skipped",
        totals.passed, totals.failed, totals.skipped
    ));
    Ok(if totals.failed == 0 {
        Code::DONE
    } else {
        Code::FAILED
    })
}

/// What `--list` prints.
fn list(selection: &Selection, suites: &[&Scenario]) -> String {
    let others = OTHERS
        .iter()
        .filter(|(name, _)| selection.wants(name))
        .map(|(name, summary)| format!("{name:<28} {summary}"));
    let suites = suites.iter().map(|suite| {
        let tags = match suite.tags.to_string() {
            tags if tags.is_empty() => tags,
            tags => format!(" ({tags})"),
        };
        format!("{:<28} {}{tags}", suite.name.to_string(), suite.summary)
    });
    others.chain(suites).collect::<Vec<_>>().join("\n")
}

/// What runs beside other things.
enum Task<'a> {
    /// The host checks, one after the other.
    Host,
    /// The guests of micro-bench.
    MicroBench,
    /// A suite.
    Suite(&'a Scenario),
}

impl Task<'_> {
    fn name(&self) -> String {
        match self {
            Task::Host => String::from(HOST),
            Task::MicroBench => String::from(MICRO_BENCH),
            Task::Suite(suite) => suite.name.to_string(),
        }
    }
}

/// A failure of the runner itself, which must not hide what else has run.
fn did_not_run(name: &str, error: &anyhow::Error) -> Ended {
    Ended {
        rows: vec![Row::once(name, 0, false)],
        report: format!("\n---- {name} did not run:\n{error:#}"),
    }
}

/// What came of a task.
#[derive(Debug, Default)]
struct Ended {
    rows: Vec<Row>,
    /// For the user when everything has ended; may be empty.
    report: String,
}

struct Run<'a> {
    context: &'a Context,
    logs: &'a Path,
    keep_logs: bool,
}

impl Run<'_> {
    /// Builds, and runs what is selected. The rows come in the order of the table.
    fn all(&self, jobs: usize, selection: &Selection, suites: &[&Scenario]) -> Result<Vec<Row>> {
        let built = build::all(self.context)?;
        let is_built = |target| {
            built
                .iter()
                .any(|(known, _, step)| *known == target && step.status.success())
        };
        let mut tasks = Vec::new();
        if selection.wants(HOST) {
            tasks.push(Task::Host);
        }
        if selection.wants(MICRO_BENCH) {
            tasks.push(Task::MicroBench);
        }
        tasks.extend(suites.iter().map(|suite| Task::Suite(suite)));
        let ended = jobs::run(jobs, &tasks, |task| {
            self.task(task, &is_built)
                .unwrap_or_else(|error| did_not_run(&task.name(), &error))
        });

        for report in ended.iter().map(|one| &one.report) {
            if !report.is_empty() {
                self.context.terminal.say(report);
            }
        }
        let (host, others) = ended.split_at(usize::from(selection.wants(HOST)));
        let builds = built
            .iter()
            .map(|(_, name, step)| Row::once(name, step.time.as_secs(), step.status.success()));
        let rows = |ended: &[Ended]| ended.iter().flat_map(|one| one.rows.clone()).collect();
        let mut all: Vec<Row> = rows(host);
        all.extend(builds);
        all.extend::<Vec<Row>>(rows(others));
        Ok(all)
    }

    fn task(&self, task: &Task<'_>, is_built: &impl Fn(Target) -> bool) -> Result<Ended> {
        let guests = is_built(Target::Modules) && is_built(Target::Programs);
        match task {
            Task::Host => {
                let rows = host::run(self.context, is_built)?;
                Ok(Ended {
                    rows,
                    report: String::new(),
                })
            }
            Task::MicroBench => {
                self.micro_bench(is_built(Target::Payloads) && is_built(Target::Programs))
            }
            Task::Suite(suite) if guests => self.suite(suite),
            Task::Suite(suite) => Ok(Ended {
                rows: vec![Row::once(&suite.name.to_string(), 0, false)],
                report: note(&format!(
                    "suite {} did not run, because the build failed",
                    suite.name
                )),
            }),
        }
    }

    /// The bare-metal guests; each line of KTAP counts.
    fn micro_bench(&self, is_built: bool) -> Result<Ended> {
        let setup = &self.context.setup;
        let row = if setup.kernel != MICRO_BENCH_KERNEL {
            let text = format!("{MICRO_BENCH}: skipped, only with kernel {MICRO_BENCH_KERNEL}");
            self.context.terminal.say(&step_line(Duration::ZERO, &text));
            Row::skipped(MICRO_BENCH)
        } else if is_built {
            let step = self
                .context
                .step(MICRO_BENCH, &mut setup.step(MICRO_BENCH))?;
            count(self.context, MICRO_BENCH, Counts::Ktap, &step)?
        } else {
            Row::once(MICRO_BENCH, 0, false)
        };
        Ok(Ended {
            rows: vec![row],
            report: String::new(),
        })
    }

    fn suite(&self, suite: &Scenario) -> Result<Ended> {
        let name = suite.name.to_string();
        let terminal = &self.context.terminal;
        if let Some(obstacle) = suite::obstacle(self.context, suite)? {
            let text = format!("suite {name}: skipped, {obstacle}");
            terminal.say(&step_line(Duration::ZERO, &text));
            return Ok(Ended {
                rows: vec![Row::skipped(&name)],
                report: String::new(),
            });
        }
        let dir = make_dir(&self.logs.join(suite.name.directory()))?;
        let setup = &self.context.setup;
        let guest = suite::guest(suite, &setup.src, setup.debug);
        let start = Instant::now();
        let shown = terminal.running(&format!("suite {name}"), Some(&dir.join("output.log")));
        let outcome = suite::run(self.context, suite, &guest, &dir, true);
        drop(shown);
        let time = start.elapsed();
        let (totals, line, mut report) = match &outcome {
            Ok(verdict) => (
                verdict.totals,
                verdict_line(&name, verdict.totals),
                verdict_report(&name, verdict),
            ),
            Err(error) => (
                Row::once(&name, 0, false).totals,
                format!("FAILED: suite {name} did not run"),
                format!(
                    "\n---- suite {name} did not run:\n{}",
                    suite::reason(&dir, error)
                ),
            ),
        };
        terminal.say(&step_line(time, &line));
        if totals.failed == 0 && !self.keep_logs {
            fs::remove_dir_all(&dir)?;
        } else if !self.keep_logs {
            report.push_str(&format!("\n---- its logs: {}", dir.display()));
        }
        Ok(Ended {
            rows: vec![Row {
                name,
                seconds: time.as_secs(),
                totals,
            }],
            report,
        })
    }
}

fn verdict_line(name: &str, totals: Totals) -> String {
    let Totals {
        passed,
        failed,
        skipped,
    } = totals;
    if failed == 0 {
        format!("suite {name}: {passed} passed, {skipped} skipped")
    } else {
        format!("FAILED: suite {name}: {passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// What failed; else which cases were skipped.
fn verdict_report(name: &str, verdict: &Verdict) -> String {
    let skips = verdict.skips.iter();
    if verdict.passed() {
        let line = |skip| note(&format!("{name}: skipped {skip}"));
        return skips.map(line).collect::<Vec<_>>().join("\n");
    }
    let head = format!("\n---- suite {name}:");
    let report = verdict.report.iter().cloned();
    let lines = report.chain(skips.map(|skip| format!("skipped {skip}")));
    let lines = [head].into_iter().chain(lines.take(SHOWN_LINES));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;

    fn totals(passed: usize, failed: usize, skipped: usize) -> Totals {
        Totals {
            passed,
            failed,
            skipped,
        }
    }

    #[test]
    fn lines_of_suites() {
        assert_eq!(
            verdict_line("a", totals(3, 0, 1)),
            "suite a: 3 passed, 1 skipped"
        );
        assert_eq!(
            verdict_line("a", totals(3, 2, 1)),
            "FAILED: suite a: 3 passed, 2 failed, 1 skipped"
        );
    }

    #[test]
    fn reports_of_suites() {
        let mut verdict = Verdict {
            totals: totals(1, 0, 1),
            report: Vec::new(),
            skips: vec![String::from("x: no device")],
        };
        assert_eq!(
            verdict_report("a", &verdict),
            "           a: skipped x: no device"
        );
        verdict.totals.failed = 100;
        verdict.report = vec![String::from("not ok b"); 100];
        let report = verdict_report("a", &verdict);
        assert!(
            report.starts_with("\n---- suite a:\nnot ok b\n"),
            "{report}"
        );
        assert_eq!(report.lines().count(), 2 + SHOWN_LINES);
    }

    #[test]
    fn the_list() {
        let text = "summary = all\ncommand = t\n[short]\n[long]\ntags = soak\n";
        let file = parse(Path::new("traffic.suite"), text).unwrap();
        let suites: Vec<_> = file.scenarios.iter().collect();
        let selection = Selection::new(&[String::from("traffic"), String::from("host")], true);
        assert_eq!(
            list(&selection.unwrap(), &suites),
            "host                         formatting, clippy, host tests\n\
             traffic:short                all\n\
             traffic:long                 all (soak)"
        );
    }
}

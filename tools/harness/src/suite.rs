// SPDX-License-Identifier: GPL-2.0

//! One scenario: its guest is run and judged.

use crate::context::{last_lines, read_lossy, Context};
use crate::guest::run::{prepare, Log, Outcome, Place};
use crate::guest::Guest;
use crate::scenario::Scenario;
use crate::verdict::{judge, End, Expectations, Verdict};
use anyhow::{Context as _, Result};
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

/// A debug kernel takes a dozen times as long to boot, and several times as long for the rest.
const DEBUG_PATIENCE: u32 = 8;

/// The guest of a scenario as it runs with a kernel.
pub fn guest(scenario: &Scenario, src: &Path, debug: bool) -> Guest {
    let mut guest = scenario.guest.clone();
    for copy in &mut guest.copies {
        *copy = copy.of(src);
    }
    if debug {
        guest.timeout *= DEBUG_PATIENCE;
    }
    guest
}

/// Why a scenario cannot run here although it is well-formed.
///
/// # Errors
///
/// The root cannot be entered.
pub fn obstacle(context: &Context, scenario: &Scenario) -> Result<Option<String>> {
    let setup = &context.setup;
    if let Some(obstacle) = scenario.obstacle(&setup.kernel, setup.debug) {
        return Ok(Some(obstacle));
    }
    for program in &scenario.optional {
        let words = ["sh", "-c", r#"command -v "$1""#, "_", program];
        let mut command = setup.root().command(words);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if !context.processes.status(&mut command)?.success() {
            return Ok(Some(format!("no {program} in the root")));
        }
    }
    Ok(None)
}

/// Runs a guest with its logs in `dir`, and judges it. The verdict is in `dir/verdict` too, and
/// what was said while it was put together in `dir/log`.
///
/// # Errors
///
/// The guest did not come about; the reason is at the end of `dir/log` as well.
pub fn run(
    context: &Context,
    scenario: &Scenario,
    guest: &Guest,
    dir: &Path,
    needs_results: bool,
) -> Result<Verdict> {
    let path = dir.join("log");
    let log = File::create(&path).with_context(|| path.display().to_string())?;
    let place = Place {
        dir,
        log: Log::File(log.try_clone()?),
    };
    let outcome = boot(context, guest, &place).inspect_err(|error| {
        use std::io::Write;
        // The caller has the error itself.
        let _ = writeln!(&log, "{error:#}");
    })?;
    let expected = Expectations {
        allowed: scenario.allow.clone(),
        needs_results,
    };
    let output = read_lossy(&dir.join("output.log"))?;
    let console = read_lossy(&dir.join("console.log"))?;
    let mut verdict = judge(&output, &console, outcome.end, &expected);
    if outcome.end == End::Lost {
        // Most often QEMU refused its command line.
        let log = read_lossy(&dir.join("qemu.log")).unwrap_or_default();
        verdict.report.extend(log.lines().map(str::to_owned));
    }
    fs::write(dir.join("verdict"), text(&verdict))?;
    Ok(verdict)
}

fn boot(context: &Context, guest: &Guest, place: &Place<'_>) -> Result<Outcome> {
    let prepared = prepare(context, guest, place)?;
    let outcome = prepared.run(context, guest, place)?;
    for disk in &guest.disks {
        fs::remove_file(disk.image(place.dir))?;
    }
    Ok(outcome)
}

/// A verdict for a file.
fn text(verdict: &Verdict) -> String {
    let skips = verdict.skips.iter().map(|skip| format!("skipped {skip}"));
    let totals = verdict.totals;
    let totals = format!(
        "totals {} {} {}",
        totals.passed, totals.failed, totals.skipped
    );
    let lines = verdict.report.iter().cloned().chain(skips).chain([totals]);
    lines.map(|line| line + "\n").collect()
}

/// Why a guest did not come about: the end of its log.
pub fn reason(dir: &Path, error: &anyhow::Error) -> String {
    match read_lossy(&dir.join("log")) {
        Ok(log) if !log.is_empty() => last_lines(&log, 20),
        _ => format!("{error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;
    use std::time::Duration;

    #[test]
    fn a_debug_kernel_gets_more_time() {
        let file = "timeout = 100\ncopy = tests/run\ncommand = t\n";
        let file = parse(Path::new("a.suite"), file).unwrap();
        let scenario = &file.scenarios[0];
        let time = |debug| guest(scenario, Path::new("/src"), debug).timeout;
        assert_eq!(time(false), Duration::from_secs(100));
        assert_eq!(time(true), Duration::from_secs(800));
        let guest = guest(scenario, Path::new("/src"), false);
        assert_eq!(guest.copies[0].from, Path::new("/src/tests/run"));
    }

    #[test]
    fn verdicts_as_text() {
        let output = "siov-guest: run ktap t\n1..3\nok 1 a\nnot ok 2 b\nok 3 c # SKIP why\nsiov-guest: exit 1\n\
                      siov-guest: done 1\n";
        let expected = Expectations {
            allowed: Vec::new(),
            needs_results: true,
        };
        let verdict = judge(output, "", End::Finished, &expected);
        assert_eq!(text(&verdict), "not ok b\nskipped c: why\ntotals 1 1 1\n");
    }
}

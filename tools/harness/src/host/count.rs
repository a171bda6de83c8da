// SPDX-License-Identifier: GPL-2.0

//! How many tests a step ran, by what it printed.

use crate::context::{read_lossy, Context, Step};
use crate::ktap::Totals;
use crate::row::Row;
use crate::terminal::note;
use anyhow::Result;
use regex_lite::Regex;

/// How the tests of a check are counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Counts {
    /// The step is one test: its exit status.
    Once,
    /// By the lines `test result:` of `cargo test`. No test at all is a failure.
    CargoTest,
    /// By lines that start with `ok` or `not ok`. No test at all is a failure.
    Ktap,
}

/// Counts the tests of a step, and shows those that failed.
///
/// # Errors
///
/// Its log cannot be read.
pub fn count(context: &Context, name: &str, counts: Counts, step: &Step) -> Result<Row> {
    let log = read_lossy(&step.log)?;
    let failed = !step.status.success();
    let totals = totals(&log, counts, failed);
    if failed {
        let extract = match counts {
            Counts::Once => Vec::new(),
            Counts::CargoTest => failures_of_cargo(&log),
            Counts::Ktap => failures_of_ktap(&log),
        };
        let mut text = extract.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        context.terminal.say_error(&(text + &step.failure()));
    } else if totals.failed > 0 {
        context.terminal.say(&note(&format!("{name}: no test ran")));
    }
    Ok(Row {
        name: name.to_owned(),
        seconds: step.time.as_secs(),
        totals,
    })
}

fn totals(log: &str, counts: Counts, failed: bool) -> Totals {
    let mut totals = match counts {
        Counts::Once => Totals {
            passed: usize::from(!failed),
            ..Totals::default()
        },
        Counts::CargoTest => count_cargo(log),
        Counts::Ktap => count_ktap(log),
    };
    // It did not even build, did not come to its end, or ran nothing.
    let hides_failure = failed || totals.passed == 0;
    if hides_failure && totals.failed == 0 {
        totals.failed = 1;
    }
    totals
}

/// The sum of the lines `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
fn count_cargo(log: &str) -> Totals {
    let mut totals = Totals::default();
    for line in log
        .lines()
        .filter_map(|line| line.strip_prefix("test result:"))
    {
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |what: &str| {
            let pair = words
                .windows(2)
                .find(|pair| pair[1].trim_end_matches(';') == what);
            pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
        };
        totals += Totals {
            passed: number("passed"),
            failed: number("failed"),
            skipped: number("ignored"),
        };
    }
    totals
}

fn count_ktap(log: &str) -> Totals {
    let mut totals = Totals::default();
    for line in log.lines() {
        if line.starts_with("not ok") {
            totals.failed += 1;
        } else if line.starts_with("ok") && line.contains("# SKIP") {
            totals.skipped += 1;
        } else if line.starts_with("ok") {
            totals.passed += 1;
        }
    }
    totals
}

fn failures_of_cargo(log: &str) -> Vec<&str> {
    let pattern = Regex::new("^(test .* FAILED|not ok|----|thread .* panicked|error)");
    let Ok(pattern) = pattern else {
        return Vec::new();
    };
    log.lines().filter(|line| pattern.is_match(line)).collect()
}

/// The failing lines with what stands before each, at most the last 60.
fn failures_of_ktap(log: &str) -> Vec<&str> {
    const BEFORE: usize = 40;
    const MOST: usize = 60;
    let lines: Vec<_> = log.lines().collect();
    let failing: Vec<_> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.starts_with("not ok"))
        .map(|(index, _)| index)
        .collect();
    let shown = |index: usize| {
        failing
            .iter()
            .any(|failing| index <= *failing && *failing - index <= BEFORE)
    };
    let shown: Vec<_> = (0..lines.len())
        .filter(|index| shown(*index))
        .map(|index| lines[index])
        .collect();
    shown[shown.len().saturating_sub(MOST)..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(passed: usize, failed: usize, skipped: usize) -> Totals {
        Totals {
            passed,
            failed,
            skipped,
        }
    }

    #[test]
    fn steps_count_once() {
        assert_eq!(totals("", Counts::Once, false), all(1, 0, 0));
        assert_eq!(totals("ok 1 a", Counts::Once, true), all(0, 1, 0));
    }

    #[test]
    fn tests_of_cargo() {
        let log = "running 2 tests\ntest a ... ok\n\
                   test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
                   test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(totals(log, Counts::CargoTest, true), all(5, 1, 1));
        // It did not build, or a test program crashed.
        assert_eq!(totals("error: x\n", Counts::CargoTest, true), all(0, 1, 0));
        let crashed = "test result: ok. 2 passed; 0 failed; 0 ignored\nerror: signal 11\n";
        assert_eq!(totals(crashed, Counts::CargoTest, true), all(2, 1, 0));
        // There was none.
        assert_eq!(totals("", Counts::CargoTest, false), all(0, 1, 0));
        assert_eq!(
            failures_of_cargo(
                "test a ... FAILED\ntest b ... ok\n---- a stdout ----\nx\nerror: y\n"
            ),
            ["test a ... FAILED", "---- a stdout ----", "error: y"]
        );
    }

    #[test]
    fn lines_of_ktap() {
        let log = "1..3\nok 1 a\nok 2 b # SKIP no\n# why\nnot ok 3 c\n";
        assert_eq!(totals(log, Counts::Ktap, true), all(1, 1, 1));
        assert_eq!(totals("1..1\nok 1 a\n", Counts::Ktap, true), all(1, 1, 0));
        assert_eq!(totals("", Counts::Ktap, false), all(0, 1, 0));
        let shown = failures_of_ktap(log);
        assert_eq!(shown.last(), Some(&"not ok 3 c"));
        assert_eq!(failures_of_ktap("ok 1 a\n"), Vec::<&str>::new());
        let long = "x\n".repeat(100) + "not ok 1 a\n";
        assert_eq!(failures_of_ktap(&long).len(), 41);
    }
}

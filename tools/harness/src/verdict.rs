// SPDX-License-Identifier: GPL-2.0

//! The verdict on one guest run, from both of its logs.

use crate::console::{self, Finding};
use crate::ktap::{self, Totals};
use crate::session::{self, Run};
use regex_lite::Regex;

/// How the run of QEMU ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The guest ran all commands and powered off.
    Finished,
    /// The time limit ended it.
    Timeout,
    /// The kernel panicked.
    Panic,
    /// QEMU did not start, or ended before the guest was through.
    Lost,
}

impl End {
    /// The word for it in the file `end` of a guest's logs.
    pub fn word(self) -> &'static str {
        match self {
            End::Finished => "finished",
            End::Timeout => "timeout",
            End::Panic => "panic",
            End::Lost => "lost",
        }
    }

    fn problem(self) -> Option<&'static str> {
        match self {
            End::Finished => None,
            End::Timeout => Some("the guest did not finish in time"),
            End::Panic => Some("the guest's kernel panicked"),
            End::Lost => Some("QEMU ended before the guest was through"),
        }
    }
}

/// What is known beforehand about a run.
#[derive(Debug)]
pub struct Expectations {
    /// Console reports that match one of these are no failures.
    pub allowed: Vec<Regex>,
    /// Whether at least one test case has to be there. A demonstration has none.
    pub needs_results: bool,
}

/// The verdict.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Verdict {
    /// Test cases, and one failure for each entry of `problems`.
    pub totals: Totals,
    /// Lines for the reader: every failing case and every problem, with what is known about it.
    pub report: Vec<String>,
    /// Skipped cases with their reasons.
    pub skips: Vec<String>,
}

impl Verdict {
    /// Whether nothing failed.
    pub fn passed(&self) -> bool {
        self.totals.failed == 0
    }

    fn problem(&mut self, text: String) {
        self.totals.failed += 1;
        self.report.push(text);
    }
}

/// What tests announce in diagnostic lines of their output.
#[derive(Default)]
struct Announced {
    faults: usize,
    lines: Vec<Regex>,
}

/// Exit status of a kselftest program that was skipped (`KSFT_SKIP` in
/// tools/testing/selftests/kselftest.h).
const KSFT_SKIP: i32 = 4;

/// How many lines of a report are shown.
const SHOWN_LINES: usize = 30;

/// Judges a run by the logs of both ports.
pub fn judge(output: &str, console: &str, end: End, expected: &Expectations) -> Verdict {
    let mut verdict = Verdict::default();
    let session = session::parse(output);
    let mut announced = Announced::default();

    for module in &session.failed_modules {
        verdict.problem(format!("module did not load: {module}"));
    }
    for run in &session.runs {
        judge_run(run, &mut verdict, &mut announced);
    }
    if let Some(problem) = end.problem() {
        let during = session
            .runs
            .last()
            .filter(|run| run.status.is_none())
            .map_or(String::new(), |run| format!(", during: {}", run.command));
        verdict.problem(format!("{problem}{during}"));
        if end == End::Timeout {
            verdict.report.extend(tail(output, 8));
            verdict
                .report
                .extend(tail(&console::without_registers(console), 60));
        }
    } else if session.done.is_none() {
        verdict.problem(String::from("the guest powered off before it was through"));
    }
    let findings = console::scan(console);
    judge_console(&findings, expected, &announced, &mut verdict);
    judge_errors(
        &session.errors,
        &findings,
        expected,
        &announced,
        &mut verdict,
    );
    let totals = verdict.totals;
    if expected.needs_results && totals.passed + totals.failed + totals.skipped == 0 {
        verdict.problem(String::from("no test case ran"));
    }
    verdict
}

fn judge_run(run: &Run, verdict: &mut Verdict, announced: &mut Announced) {
    for line in run.output.lines() {
        if let Err(problem) = announce(line.trim_start(), announced) {
            verdict.problem(format!("{}: {problem}", run.command));
        }
    }
    if !run.ktap {
        match run.status {
            Some(0) | None => {}
            Some(status) => {
                verdict.problem(format!("exit status {status} of: {}", run.command));
                verdict.report.extend(tail(&run.output, 8));
            }
        }
        return;
    }
    let report = ktap::parse(&run.output);
    let totals = report.totals();
    verdict.totals += totals;
    for (path, test) in report.failures() {
        let reason = if test.reason.is_empty() {
            String::new()
        } else {
            format!(" # {}", test.reason)
        };
        verdict.report.push(format!("not ok {path}{reason}"));
        verdict
            .report
            .extend(test.context.iter().map(|line| format!("    {line}")));
    }
    for (name, reason) in report.skips() {
        verdict.skips.push(format!("{name}: {reason}"));
    }
    for problem in &report.problems {
        verdict.problem(format!("{}: {problem}", run.command));
    }
    if !report.problems.is_empty() {
        verdict.report.extend(tail(&run.output, 8));
    }
    match run.status {
        Some(0) => {}
        Some(KSFT_SKIP) if totals.passed == 0 && totals.failed == 0 && totals.skipped > 0 => {}
        // The guest's end is reported by itself.
        None => {}
        Some(status) if totals.failed == 0 && report.problems.is_empty() => {
            verdict.problem(format!(
                "exit status {status} though no test failed: {}",
                run.command
            ));
        }
        Some(_) => {}
    }
}

/// `# expect-fault N` permits N fault lines on the console, `# expect-console REGEX` a report that
/// matches.
fn announce(line: &str, announced: &mut Announced) -> Result<(), String> {
    if let Some(count) = line.strip_prefix("# expect-fault ") {
        let count: usize = count
            .trim()
            .parse()
            .map_err(|_| format!("not a number of faults: {line:?}"))?;
        announced.faults += count;
    } else if let Some(pattern) = line.strip_prefix("# expect-console ") {
        let pattern = Regex::new(pattern.trim()).map_err(|error| format!("{line:?}: {error}"))?;
        announced.lines.push(pattern);
    }
    Ok(())
}

fn judge_console(
    findings: &[Finding],
    expected: &Expectations,
    announced: &Announced,
    verdict: &mut Verdict,
) {
    let allowed = |finding: &Finding| {
        expected
            .allowed
            .iter()
            .chain(&announced.lines)
            .any(|pattern| finding.text.iter().any(|line| pattern.is_match(line)))
    };
    let mut faults = 0;
    for finding in findings {
        if finding.kind == console::FAULT {
            faults += 1;
        }
        let is_announced = finding.kind == console::FAULT && faults <= announced.faults;
        if is_announced || allowed(finding) {
            continue;
        }
        verdict.problem(format!(
            "console line {} ({}): {}",
            finding.line,
            finding.kind,
            finding.headline()
        ));
        if finding.text.len() > 1 {
            let text = console::without_registers(&finding.text.join("\n"));
            let shown = text.lines().take(SHOWN_LINES);
            verdict
                .report
                .extend(shown.map(|line| format!("    {line}")));
        }
    }
    // Kernels limit the rate of fault lines, so there may be fewer than announced; none is a
    // defect.
    if announced.faults > 0 && faults == 0 {
        verdict.problem(format!(
            "{} fault lines were announced, the console has none",
            announced.faults
        ));
    }
}

/// A message of level error that is no part of a report is a failure in whatever words it comes:
/// the shipped kernel boots without one.
fn judge_errors(
    errors: &[String],
    findings: &[Finding],
    expected: &Expectations,
    announced: &Announced,
    verdict: &mut Verdict,
) {
    for (index, error) in errors.iter().enumerate() {
        if errors[..index].contains(error) {
            continue;
        }
        let reported = findings.iter().any(|finding| finding.text.contains(error));
        let allowed = expected
            .allowed
            .iter()
            .chain(&announced.lines)
            .any(|pattern| pattern.is_match(error));
        if !reported && !allowed {
            let times = errors.iter().filter(|other| *other == error).count();
            verdict.problem(format!("error message ({times} times): {error}"));
        }
    }
}

fn tail(text: &str, count: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(count);
    lines[from..]
        .iter()
        .map(|line| format!("    {line}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: &str = "[    0.0] Linux version 7.3.4\n[    9.9] reboot: Power down\n";
    const FAULT: &str =
        "[    1.5] DMAR: [DMA Write NO_PASID] Request device [00:03.0] fault addr 0x1000\n";

    fn strict() -> Expectations {
        Expectations {
            allowed: Vec::new(),
            needs_results: true,
        }
    }

    fn session(body: &str, status: i32) -> String {
        format!(
            "siov-guest: run ktap t\n{body}siov-guest: exit {status}\nsiov-guest: done {status}\n"
        )
    }

    fn good() -> String {
        session("KTAP version 1\n1..2\nok 1 a\nok 2 b # SKIP why\n", 0)
    }

    fn failed(output: &str, console: &str, end: End) -> Vec<String> {
        let verdict = judge(output, console, end, &strict());
        assert!(!verdict.passed(), "should have failed");
        verdict.report
    }

    #[test]
    fn a_good_run() {
        let verdict = judge(&good(), CLEAN, End::Finished, &strict());
        assert!(verdict.passed(), "{:?}", verdict.report);
        assert_eq!((verdict.totals.passed, verdict.totals.skipped), (1, 1));
        assert_eq!(verdict.skips, ["b: why"]);
    }

    #[test]
    fn a_failing_case_is_shown_with_its_context() {
        let report = failed(
            &session("1..1\n# want 1, got 2\nnot ok 1 a\n", 1),
            CLEAN,
            End::Finished,
        );
        assert_eq!(report, ["not ok a", "    # want 1, got 2"]);
    }

    #[test]
    fn ends_other_than_finished() {
        let cut = "siov-guest: run ktap t\n1..2\nok 1 a\n";
        assert!(failed(cut, CLEAN, End::Timeout)
            .iter()
            .any(|l| l.contains("not finish in time, during: t")));
        assert!(failed(cut, CLEAN, End::Panic)
            .iter()
            .any(|l| l.contains("panicked")));
        assert!(failed(cut, CLEAN, End::Lost)
            .iter()
            .any(|l| l.contains("QEMU ended")));
        assert!(failed(cut, CLEAN, End::Finished)
            .iter()
            .any(|l| l.contains("before it was through")));
        // Even with complete results a guest that does not end is a failure.
        assert!(!judge(&good(), CLEAN, End::Timeout, &strict()).passed());
    }

    #[test]
    fn nothing_ran() {
        assert!(
            failed("siov-guest: done 0\n", CLEAN, End::Finished)[0].contains("no test case ran")
        );
        let lenient = Expectations {
            needs_results: false,
            ..strict()
        };
        assert!(judge("siov-guest: done 0\n", CLEAN, End::Finished, &lenient).passed());
    }

    #[test]
    fn no_plan_and_wrong_counts() {
        assert!(failed(&session("ok 1 a\n", 0), CLEAN, End::Finished)[0].contains("no plan"));
        assert!(
            failed(&session("1..3\nok 1 a\n", 0), CLEAN, End::Finished)[0].contains("planned 3")
        );
        assert!(failed(&session("hello\n", 0), CLEAN, End::Finished)[0].contains("not KTAP"));
    }

    #[test]
    fn exit_status_must_agree() {
        let report = failed(&session("1..1\nok 1 a\n", 139), CLEAN, End::Finished);
        assert!(report[0].contains("exit status 139 though no test failed"));
        let skipped = judge(
            &session("1..0 # SKIP no device\n", 4),
            CLEAN,
            End::Finished,
            &strict(),
        );
        assert!(skipped.passed());
        assert_eq!(skipped.totals.skipped, 1);
        assert!(!judge(
            &session("1..1\nok 1 a\n", 4),
            CLEAN,
            End::Finished,
            &strict()
        )
        .passed());
    }

    #[test]
    fn plain_commands_count_by_status_only() {
        let output = "siov-guest: run plain mount x\nno such device\nsiov-guest: exit 1\nsiov-guest: done 1\n";
        let report = failed(output, CLEAN, End::Finished);
        assert_eq!(report, ["exit status 1 of: mount x", "    no such device"]);
    }

    #[test]
    fn modules_that_do_not_load() {
        let report = failed(
            "cannot\nsiov-guest: module vtd failed\nsiov-guest: done 125\n",
            CLEAN,
            End::Finished,
        );
        assert!(report[0].contains("module did not load: vtd: cannot"));
    }

    #[test]
    fn console_reports_fail_the_run() {
        let report = failed(
            &good(),
            "[ 1.0] BUG: KASAN: slab-out-of-bounds in f+0x1\n",
            End::Finished,
        );
        assert!(
            report[0].starts_with("console line 1 (KASAN):"),
            "{report:?}"
        );
    }

    #[test]
    fn allowed_and_announced_reports() {
        let console = include_str!("../tests/data/warn.log");
        assert!(!judge(&good(), console, End::Finished, &strict()).passed());
        let allowed = Expectations {
            allowed: vec![Regex::new("late IOMMU probe at driver bind").unwrap()],
            needs_results: true,
        };
        assert!(judge(&good(), console, End::Finished, &allowed).passed());
        let announced = session("# expect-console late IOMMU .* bind\n1..1\nok 1 a\n", 0);
        assert!(judge(&announced, console, End::Finished, &strict()).passed());
        let other = session("# expect-console something else\n1..1\nok 1 a\n", 0);
        assert!(!judge(&other, console, End::Finished, &strict()).passed());
    }

    #[test]
    fn faults_must_be_announced() {
        assert!(failed(&good(), FAULT, End::Finished)[0].contains("IOMMU fault"));
        let two = session(
            "# expect-fault 1\n1..1\n  1..1\n  # expect-fault 1\n  ok 1 x\nok 1 a\n",
            0,
        );
        assert!(judge(&two, &FAULT.repeat(2), End::Finished, &strict()).passed());
        assert!(judge(&two, FAULT, End::Finished, &strict()).passed());
        assert!(!judge(&two, &FAULT.repeat(3), End::Finished, &strict()).passed());
        assert!(failed(&two, CLEAN, End::Finished)[0].contains("2 fault lines were announced"));
    }

    #[test]
    fn error_messages_in_any_words() {
        let output = |announcement: &str| {
            format!(
                "siov-guest: run ktap t\n{announcement}1..1\nok 1 a\nsiov-guest: exit 0\n\
                 siov-guest: error [ 1.5] vtd: dmar0: no domain id left\nsiov-guest: done 0\n"
            )
        };
        let report = failed(&output(""), CLEAN, End::Finished);
        assert_eq!(
            report,
            ["error message (1 times): vtd: dmar0: no domain id left"]
        );
        let announced = output("# expect-console no domain id\n");
        assert!(judge(&announced, CLEAN, End::Finished, &strict()).passed());
        // What the console's rules have found is not reported twice.
        let both = good().replace(
            "siov-guest: done",
            &format!("siov-guest: error {FAULT}siov-guest: done"),
        );
        assert_eq!(failed(&both, FAULT, End::Finished).len(), 1);
    }

    #[test]
    fn malformed_announcements() {
        let output = session("# expect-fault some\n1..1\nok 1 a\n", 0);
        assert!(failed(&output, CLEAN, End::Finished)[0].contains("not a number of faults"));
        let output = session("# expect-console (\n1..1\nok 1 a\n", 0);
        assert!(!judge(&output, CLEAN, End::Finished, &strict()).passed());
    }
}

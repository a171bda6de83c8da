// SPDX-License-Identifier: GPL-2.0

//! The Kernel Test Anything Protocol, version 1 (the kernel's `Documentation/dev-tools/ktap.rst`),
//! and the TAP 13 that kselftests print.
//!
//! Strict where a mistake hides a test that did not run: a plan must be there, must come once and
//! must agree with the number of results, results are numbered from 1 without gaps, a result that
//! has subtests must agree with them. Lines that are not KTAP are a program's own output and kept
//! only to be shown beside a failure.

/// What became of one test case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// `ok`.
    Pass,
    /// `not ok`.
    Fail,
    /// `ok ... # SKIP`, also `# XFAIL` and `not ok ... # TODO`: it says nothing about the code.
    Skip,
}

/// One result line and the subtests that it sums up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Test {
    /// Description on the result line, without the directive.
    pub name: String,
    /// Outcome on the result line.
    pub outcome: Outcome,
    /// Reason given with a directive.
    pub reason: String,
    /// Subtests in their order.
    pub subtests: Vec<Test>,
    /// The last lines printed before the result line, for the reader of a failure.
    pub context: Vec<String>,
}

/// One KTAP stream, that is the output of one test program.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Top-level tests in their order.
    pub tests: Vec<Test>,
    /// The reason of a plan `1..0 # SKIP reason`.
    pub skipped: Option<String>,
    /// Departures from the protocol; each makes the stream a failure.
    pub problems: Vec<String>,
}

/// Numbers of test cases. A test with subtests is not a case of its own.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Cases that were skipped.
    pub skipped: usize,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// How many of the lines before a result are kept with it.
const CONTEXT_LINES: usize = 12;

/// One level of nesting while it is being read.
#[derive(Default)]
struct Level {
    indent: usize,
    plan: Option<usize>,
    skipped: Option<String>,
    tests: Vec<Test>,
    /// Subtests read, whose result line at this level is still to come.
    pending: Vec<Test>,
}

impl Level {
    fn new(indent: usize) -> Self {
        Level {
            indent,
            ..Level::default()
        }
    }

    fn path(&self) -> String {
        if self.indent == 0 {
            String::from("top level")
        } else {
            format!("subtests after {}", self.tests.len())
        }
    }

    /// Checks that need the whole level.
    fn finish(&mut self, problems: &mut Vec<String>) {
        if !self.pending.is_empty() {
            problems.push(format!(
                "subtests without a result line that sums them up: {}",
                names(&self.pending)
            ));
            self.tests.append(&mut self.pending);
        }
        match self.plan {
            None => problems.push(format!("no plan ({})", self.path())),
            Some(plan) if plan != self.tests.len() => problems.push(format!(
                "planned {plan} tests, got {} results ({})",
                self.tests.len(),
                self.path()
            )),
            Some(_) => {}
        }
    }
}

fn names(tests: &[Test]) -> String {
    let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
    names.join(", ")
}

/// What a line means.
enum Line<'a> {
    Version,
    Subtest,
    Plan {
        count: usize,
        skip: Option<&'a str>,
    },
    Result {
        ok: bool,
        number: Option<usize>,
        text: &'a str,
    },
    BailOut(&'a str),
    Other,
}

fn classify(line: &str) -> Line<'_> {
    if line.starts_with("KTAP version ") || line.starts_with("TAP version ") {
        return Line::Version;
    }
    if line.starts_with("# Subtest:") {
        return Line::Subtest;
    }
    if let Some(rest) = line.strip_prefix("Bail out!") {
        return Line::BailOut(rest.trim());
    }
    if let Some(rest) = line.strip_prefix("1..") {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (count, tail) = rest.split_at(digits);
        let tail = tail.trim();
        if let (Ok(count), true) = (count.parse(), tail.is_empty() || tail.starts_with('#')) {
            let skip = tail
                .strip_prefix('#')
                .map(str::trim)
                .and_then(|directive| strip_word(directive, "SKIP"));
            return Line::Plan { count, skip };
        }
        return Line::Other;
    }
    let (ok, rest) = if let Some(rest) = strip_word(line, "ok") {
        (true, rest)
    } else if let Some(rest) = strip_word(line, "not ok") {
        (false, rest)
    } else {
        return Line::Other;
    };
    let word = rest.split_whitespace().next().unwrap_or("");
    let number = word.parse().ok();
    let text = if number.is_some() {
        rest[word.len()..].trim_start()
    } else {
        rest
    };
    let text = text.strip_prefix("- ").unwrap_or(text);
    Line::Result { ok, number, text }
}

/// The rest of `text` after `word`, if `word` ends there; letter case does not matter.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    let rest = &text[word.len()..];
    if !head.eq_ignore_ascii_case(word) {
        return None;
    }
    match rest.chars().next() {
        None => Some(rest),
        Some(c) if c == ' ' || c == ':' => Some(rest[1..].trim_start()),
        Some(_) => None,
    }
}

/// Splits a result line's text into name, outcome and the directive's reason.
fn directive(ok: bool, text: &str) -> (String, Outcome, String) {
    let plain = if ok { Outcome::Pass } else { Outcome::Fail };
    let Some((name, directive)) = text
        .split_once(" # ")
        .or_else(|| text.strip_prefix("# ").map(|directive| ("", directive)))
    else {
        return (text.trim().to_owned(), plain, String::new());
    };
    let name = name.trim().to_owned();
    let directive = directive.trim();
    for word in ["SKIP", "XFAIL"] {
        if let Some(reason) = strip_word(directive, word) {
            // "not ok # SKIP" contradicts itself; the worse half counts.
            let outcome = if ok { Outcome::Skip } else { Outcome::Fail };
            return (name, outcome, reason.to_owned());
        }
    }
    if let Some(reason) = strip_word(directive, "TODO") {
        let outcome = if ok { Outcome::Pass } else { Outcome::Skip };
        return (name, outcome, reason.to_owned());
    }
    (name, plain, directive.to_owned())
}

/// Reads one stream.
pub fn parse(text: &str) -> Report {
    let mut problems = Vec::new();
    let mut levels: Vec<Level> = Vec::new();
    let mut context: Vec<String> = Vec::new();

    for raw in text.lines() {
        let line = raw.trim_end();
        let body = line.trim_start_matches(' ');
        let indent = line.len() - body.len();
        let kind = classify(body);
        if let Line::Other = kind {
            if !body.is_empty() {
                context.push(line.to_owned());
            }
            continue;
        }
        if let Line::BailOut(reason) = kind {
            problems.push(format!("bailed out: {reason}"));
            continue;
        }

        while levels.len() > 1 && levels.last().is_some_and(|top| indent < top.indent) {
            close(&mut levels, &mut problems);
        }
        if levels.last().is_none_or(|top| indent > top.indent) {
            levels.push(Level::new(indent));
        }
        let depth = levels.len();
        let Some(level) = levels.last_mut() else {
            continue;
        };

        match kind {
            Line::Version => {
                if level.plan.is_some() || !level.tests.is_empty() {
                    problems.push(String::from("a second KTAP header at the same level"));
                }
            }
            Line::Plan { count, skip } => {
                if level.plan.replace(count).is_some() {
                    problems.push(format!("a second plan ({})", level.path()));
                }
                if count == 0 {
                    level.skipped = Some(skip.unwrap_or("nothing planned").to_owned());
                    if skip.is_none() {
                        problems.push(String::from("a plan of no tests without # SKIP"));
                    }
                }
            }
            Line::Result { ok, number, text } => {
                let expected = level.tests.len() + 1;
                if number.is_some_and(|number| number != expected) {
                    problems.push(format!(
                        "result {text:?} has number {}, expected {expected}",
                        number.unwrap_or(0)
                    ));
                }
                let (name, outcome, reason) = directive(ok, text);
                let subtests = std::mem::take(&mut level.pending);
                if outcome == Outcome::Pass
                    && subtests.iter().any(|test| test.outcome == Outcome::Fail)
                {
                    problems.push(format!("{name:?} is ok although a subtest failed"));
                }
                let kept = context.len().saturating_sub(CONTEXT_LINES);
                level.tests.push(Test {
                    name,
                    outcome,
                    reason,
                    subtests,
                    context: context.split_off(kept),
                });
                context.clear();
            }
            Line::Subtest | Line::BailOut(_) | Line::Other => {}
        }
        // A program's first header may stand at any indentation, but only one stream can.
        if depth == 1 && level.indent != 0 {
            problems.push(format!("the outermost level is indented: {body:?}"));
            level.indent = 0;
        }
    }

    while levels.len() > 1 {
        close(&mut levels, &mut problems);
    }
    let Some(mut top) = levels.pop() else {
        return Report {
            problems: vec![String::from(
                "no plan and no results: the output is not KTAP",
            )],
            ..Report::default()
        };
    };
    top.finish(&mut problems);
    Report {
        tests: top.tests,
        skipped: top.skipped,
        problems,
    }
}

/// Ends the innermost level; its tests wait for the result line of the level around it.
fn close(levels: &mut Vec<Level>, problems: &mut Vec<String>) {
    if let Some(mut inner) = levels.pop() {
        inner.finish(problems);
        if let Some(outer) = levels.last_mut() {
            outer.pending.append(&mut inner.tests);
        }
    }
}

impl Test {
    fn count(&self, totals: &mut Totals) {
        if self.subtests.is_empty() {
            match self.outcome {
                Outcome::Pass => totals.passed += 1,
                Outcome::Fail => totals.failed += 1,
                Outcome::Skip => totals.skipped += 1,
            }
            return;
        }
        let before = totals.failed;
        for test in &self.subtests {
            test.count(totals);
        }
        // The sum may be worse than its parts, as when a fixture fails.
        if self.outcome == Outcome::Fail && totals.failed == before {
            totals.failed += 1;
        }
    }

    /// Appends this test's failing cases, each with the path of names that leads to it.
    fn failures<'a>(&'a self, path: &str, found: &mut Vec<(String, &'a Test)>) {
        let name = if path.is_empty() {
            self.name.clone()
        } else {
            format!("{path}/{}", self.name)
        };
        let before = found.len();
        for test in &self.subtests {
            test.failures(&name, found);
        }
        if self.outcome == Outcome::Fail && found.len() == before {
            found.push((name, self));
        }
    }
}

impl Report {
    /// The number of cases. A stream that was skipped as a whole is one skipped case.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for test in &self.tests {
            test.count(&mut totals);
        }
        if self.skipped.is_some() {
            totals.skipped += 1;
        }
        totals
    }

    /// The failing cases, each with the path of names that leads to it.
    pub fn failures(&self) -> Vec<(String, &Test)> {
        let mut found = Vec::new();
        for test in &self.tests {
            test.failures("", &mut found);
        }
        found
    }

    /// The skipped cases at any depth, with their reasons.
    pub fn skips(&self) -> Vec<(String, String)> {
        fn walk(test: &Test, found: &mut Vec<(String, String)>) {
            if test.subtests.is_empty() && test.outcome == Outcome::Skip {
                found.push((test.name.clone(), test.reason.clone()));
            }
            for test in &test.subtests {
                walk(test, found);
            }
        }
        let mut found = Vec::new();
        if let Some(reason) = &self.skipped {
            found.push((String::from("all"), reason.clone()));
        }
        for test in &self.tests {
            walk(test, &mut found);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(passed: usize, failed: usize, skipped: usize) -> Totals {
        Totals {
            passed,
            failed,
            skipped,
        }
    }

    #[test]
    fn flat_stream() {
        let report =
            parse("KTAP version 1\n1..3\nok 1 - load\nnot ok 2 map\nok 3 aux # SKIP no PASID\n");
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!(report.totals(), totals(1, 1, 1));
        assert_eq!(report.tests[0].name, "load");
        assert_eq!(report.failures()[0].0, "map");
        assert_eq!(
            report.skips(),
            [(String::from("aux"), String::from("no PASID"))]
        );
    }

    #[test]
    fn kselftest_harness_output_is_tap_13() {
        let report = parse(
            "TAP version 13\n1..2\n# Starting 2 tests from 1 test cases.\n#  RUN           iommu.map ...\n\
             #            OK  iommu.map\nok 1 iommu.map\n# iommu.unmap: Test terminated by assertion\n\
             not ok 2 iommu.unmap\n# FAILED: 1 / 2 tests passed.\n# Totals: pass:1 fail:1 xfail:0 xpass:0 skip:0 error:0\n",
        );
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!(report.totals(), totals(1, 1, 0));
        let failures = report.failures();
        assert_eq!(
            failures[0].1.context,
            ["# iommu.unmap: Test terminated by assertion"]
        );
    }

    #[test]
    fn nested_subtests_count_as_cases() {
        let report = parse(
            "KTAP version 1\n1..2\n  KTAP version 1\n  # Subtest: map\n  1..2\n  ok 1 small\n    KTAP version 1\n    1..1\n\
             \x20   not ok 1 huge\n  not ok 2 big\nnot ok 1 map\nok 2 unmap\n",
        );
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!(report.totals(), totals(2, 1, 0));
        assert_eq!(report.failures()[0].0, "map/big/huge");
    }

    #[test]
    fn a_sum_that_fails_by_itself_is_a_failure() {
        let report =
            parse("KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  ok 1 a\nnot ok 1 fixture\n");
        assert_eq!(report.totals(), totals(1, 1, 0));
        assert_eq!(report.failures()[0].0, "fixture");
    }

    #[test]
    fn a_sum_that_hides_a_failed_subtest_is_a_problem() {
        let report =
            parse("KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  not ok 1 a\nok 1 sum\n");
        assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
        assert_eq!(report.totals().failed, 1);
    }

    #[test]
    fn no_plan() {
        let report = parse("KTAP version 1\nok 1 a\n");
        assert_eq!(report.problems, ["no plan (top level)"]);
        assert!(parse("KTAP version 1\n")
            .problems
            .iter()
            .any(|p| p.contains("no plan")));
        assert!(parse("hello\n").problems[0].contains("not KTAP"));
        assert!(parse("").problems[0].contains("not KTAP"));
    }

    #[test]
    fn no_plan_of_subtests() {
        let report = parse("KTAP version 1\n1..1\n  KTAP version 1\n  ok 1 a\nok 1 sum\n");
        assert_eq!(report.problems, ["no plan (subtests after 1)"]);
    }

    #[test]
    fn count_mismatch() {
        let report = parse("KTAP version 1\n1..3\nok 1 a\nok 2 b\n");
        assert_eq!(
            report.problems,
            ["planned 3 tests, got 2 results (top level)"]
        );
        let report = parse("KTAP version 1\n1..1\nok 1 a\nok 2 b\n");
        assert_eq!(
            report.problems,
            ["planned 1 tests, got 2 results (top level)"]
        );
    }

    #[test]
    fn numbers_must_be_in_sequence() {
        let report = parse("KTAP version 1\n1..2\nok 1 a\nok 3 b\n");
        assert_eq!(report.problems, ["result \"b\" has number 3, expected 2"]);
    }

    #[test]
    fn one_stream_only() {
        let report = parse("KTAP version 1\n1..1\nok 1 a\nKTAP version 1\n1..1\nok 1 b\n");
        assert!(report
            .problems
            .iter()
            .any(|p| p.contains("second KTAP header")));
        assert!(report.problems.iter().any(|p| p.contains("second plan")));
    }

    #[test]
    fn subtests_cut_off_before_their_sum() {
        let report = parse("KTAP version 1\n1..1\n  KTAP version 1\n  1..2\n  ok 1 a\n");
        assert!(report
            .problems
            .iter()
            .any(|p| p.contains("planned 2 tests, got 1")));
        assert!(report
            .problems
            .iter()
            .any(|p| p.contains("without a result line")));
    }

    #[test]
    fn skip_of_the_whole_stream() {
        let report = parse("TAP version 13\n1..0 # SKIP no device\n");
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!(report.totals(), totals(0, 0, 1));
        assert_eq!(parse("KTAP version 1\n1..0\n").problems.len(), 1);
    }

    #[test]
    fn directives() {
        assert_eq!(
            directive(true, "a # SKIP why"),
            (String::from("a"), Outcome::Skip, String::from("why"))
        );
        assert_eq!(directive(false, "a # SKIP why").1, Outcome::Fail);
        assert_eq!(directive(false, "a # TODO later").1, Outcome::Skip);
        assert_eq!(directive(true, "a # TODO done").1, Outcome::Pass);
        assert_eq!(directive(true, "a # XFAIL known").1, Outcome::Skip);
        assert_eq!(directive(false, "a # TIMEOUT 45 seconds").1, Outcome::Fail);
        assert_eq!(directive(true, "map of page #3").1, Outcome::Pass);
        assert_eq!(directive(true, "a # skip: lower case").2, "lower case");
        assert_eq!(
            directive(true, "a # SKIPPED is another word").1,
            Outcome::Pass
        );
    }

    #[test]
    fn bail_out() {
        let report = parse("KTAP version 1\n1..2\nok 1 a\nBail out! no /dev/vfio\n");
        assert_eq!(report.problems[0], "bailed out: no /dev/vfio");
        assert!(report.problems[1].contains("planned 2"));
    }

    #[test]
    fn output_that_only_resembles_results() {
        let report = parse("KTAP version 1\nokay then\n1..2x\n1..1\nnot okay\nok 1 a\n");
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!(report.totals(), totals(1, 0, 0));
    }
}

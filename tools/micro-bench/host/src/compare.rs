// SPDX-License-Identifier: GPL-2.0

//! Which operations cost more or less than before, beyond noise.
//!
//! A change counts if the medians differ by more than the samples of either run scatter around
//! theirs (half the distance from median to p99, the side where noise is), and by more than a share
//! and a floor that are given. Under `-icount` figures do not scatter, so there every change beyond
//! the floor counts.

use crate::figures::{Figures, Line, Outcome};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Below what a difference is none.
#[derive(Clone, Copy, Debug)]
pub struct Threshold {
    /// As a share of the first median.
    pub share: f64,
    /// In nanoseconds; the resolution of the clock.
    pub floor: f64,
}

impl Default for Threshold {
    fn default() -> Self {
        Self {
            share: 0.02,
            floor: 1.0,
        }
    }
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No difference beyond noise.
    Same,
    /// It costs less.
    Faster,
    /// It costs more.
    Slower,
    /// Measured in one run only.
    Missing,
}

/// The comparison.
#[derive(Debug)]
pub struct Comparison {
    /// For people.
    pub text: String,
    /// Per operation, in the order of the first run.
    pub verdicts: Vec<(String, Verdict)>,
}

impl Comparison {
    /// Whether any operation costs more, or is measured no longer.
    pub fn is_worse(&self) -> bool {
        self.verdicts
            .iter()
            .any(|(_, verdict)| matches!(verdict, Verdict::Slower | Verdict::Missing))
    }
}

fn scatter(figures: &Figures) -> f64 {
    (figures.p99 - figures.median) / 2.0
}

/// Compares one operation.
pub fn judge(before: &Figures, after: &Figures, threshold: Threshold) -> Verdict {
    let difference = after.median - before.median;
    let noise = [
        scatter(before),
        scatter(after),
        before.median * threshold.share,
        threshold.floor,
    ]
    .into_iter()
    .fold(0.0, f64::max);
    if difference.abs() <= noise {
        Verdict::Same
    } else if difference < 0.0 {
        Verdict::Faster
    } else {
        Verdict::Slower
    }
}

fn by_key(lines: &[Line]) -> BTreeMap<(&str, &str), &Outcome> {
    lines
        .iter()
        .map(|line| ((line.test.as_str(), line.machine.as_str()), &line.outcome))
        .collect()
}

/// Compares two runs, operation by operation of the same machine. Operations that neither run
/// measured are left out.
pub fn compare(before: &[Line], after: &[Line], threshold: Threshold) -> Comparison {
    let second = by_key(after);
    let first = by_key(before);
    let mut text = format!(
        "{:<18}{:<24}{:>12}{:>12}{:>8}\n",
        "test", "machine", "before ns", "after ns", "ratio"
    );
    let mut verdicts = Vec::new();
    let added = after
        .iter()
        .filter(|line| !first.contains_key(&(line.test.as_str(), line.machine.as_str())));
    for line in before.iter().chain(added) {
        let key = (line.test.as_str(), line.machine.as_str());
        let figures = |run: &BTreeMap<(&str, &str), &Outcome>| {
            run.get(&key).and_then(|outcome| outcome.figures()).cloned()
        };
        let verdict = match (figures(&first), figures(&second)) {
            (Some(before), Some(after)) => {
                let verdict = judge(&before, &after, threshold);
                row(
                    &mut text,
                    line,
                    Some(before.median),
                    Some(after.median),
                    verdict,
                );
                verdict
            }
            (None, None) => continue,
            (before, after) => {
                let median = |figures: Option<Figures>| figures.map(|figures| figures.median);
                row(
                    &mut text,
                    line,
                    median(before),
                    median(after),
                    Verdict::Missing,
                );
                Verdict::Missing
            }
        };
        verdicts.push((line.test.clone(), verdict));
    }
    Comparison { text, verdicts }
}

fn row(text: &mut String, line: &Line, before: Option<f64>, after: Option<f64>, verdict: Verdict) {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    let ratio = match (before, after) {
        (Some(before), Some(after)) if before > 0.0 => format!("{:.2}", after / before),
        _ => "-".to_owned(),
    };
    let remark = match verdict {
        Verdict::Same => "",
        Verdict::Faster => "  faster",
        Verdict::Slower => "  SLOWER",
        Verdict::Missing => "  in one run only",
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{:<18}{:<24}{:>12}{:>12}{:>8}{remark}",
        line.test,
        line.machine,
        number(before),
        number(after),
        ratio
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(median: f64, p99: f64) -> Figures {
        Figures {
            count: 100,
            average: median,
            min: median,
            median,
            p99,
            max: p99,
            histogram: Vec::new(),
        }
    }

    fn line(test: &str, outcome: Outcome) -> Line {
        Line {
            test: test.into(),
            machine: "aarch64 GICv3 EL1".into(),
            outcome,
        }
    }

    fn measured(test: &str, median: f64, p99: f64) -> Line {
        line(test, Outcome::Measured(figures(median, p99)))
    }

    fn judge(before: (f64, f64), after: (f64, f64)) -> Verdict {
        super::judge(
            &figures(before.0, before.1),
            &figures(after.0, after.1),
            Threshold::default(),
        )
    }

    #[test]
    fn exact_figures_show_small_changes() {
        assert_eq!(judge((14.0, 14.0), (14.0, 14.0)), Verdict::Same);
        assert_eq!(judge((14.0, 14.0), (15.0, 15.0)), Verdict::Same);
        assert_eq!(judge((14.0, 14.0), (16.0, 16.0)), Verdict::Slower);
        assert_eq!(judge((14.0, 14.0), (12.0, 12.0)), Verdict::Faster);
    }

    #[test]
    fn scatter_of_either_run_hides_a_change() {
        assert_eq!(judge((1000.0, 1010.0), (1100.0, 1110.0)), Verdict::Slower);
        assert_eq!(judge((1000.0, 1300.0), (1100.0, 1110.0)), Verdict::Same);
        assert_eq!(judge((1000.0, 1010.0), (1100.0, 1400.0)), Verdict::Same);
        assert_eq!(judge((1000.0, 1001.0), (1019.0, 1020.0)), Verdict::Same);
    }

    #[test]
    fn a_lost_test_is_worse() {
        let before = [measured("ipi", 10.0, 10.0), measured("lpi", 10.0, 10.0)];
        let after = [
            measured("ipi", 10.0, 10.0),
            line("lpi", Outcome::Failed("lost".into())),
        ];
        let comparison = compare(&before, &after, Threshold::default());
        assert!(comparison.is_worse());
        assert_eq!(comparison.verdicts[1], ("lpi".into(), Verdict::Missing));
        assert!(comparison.text.contains("in one run only"));
    }

    #[test]
    fn what_neither_run_has_is_left_out() {
        let skipped = [line("lpi", Outcome::Skipped("no ITS".into()))];
        let comparison = compare(&skipped, &skipped, Threshold::default());
        assert!(comparison.verdicts.is_empty() && !comparison.is_worse());
    }

    #[test]
    fn other_machines_are_other_rows() {
        let before = [measured("ipi", 10.0, 10.0)];
        let mut after = measured("ipi", 99.0, 99.0);
        after.machine = "aarch64 GICv2 EL1".into();
        let comparison = compare(&before, &[after], Threshold::default());
        assert_eq!(comparison.verdicts.len(), 2);
        assert!(comparison
            .verdicts
            .iter()
            .all(|(_, v)| *v == Verdict::Missing));
    }
}

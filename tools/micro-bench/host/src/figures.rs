// SPDX-License-Identifier: GPL-2.0

//! What the payload prints, read back.

use anyhow::{bail, Context, Result};
use serde_json::Value;

/// One line of `mode=json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Name of the test.
    pub test: String,
    /// Instruction set, interrupt controller and level, in one.
    pub machine: String,
    /// How the test ended.
    pub outcome: Outcome,
}

/// How a test ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// With figures.
    Measured(Figures),
    /// It cannot run there, and why.
    Skipped(String),
    /// It did not do what it should, and what went wrong.
    Failed(String),
}

/// The figures of a test, times in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Repetitions.
    pub count: u64,
    /// Mean.
    pub average: f64,
    /// Smallest.
    pub min: f64,
    /// Middle.
    pub median: f64,
    /// At least 99 of 100 are not above it.
    pub p99: f64,
    /// Largest.
    pub max: f64,
    /// Lower bound and count of each bucket.
    pub histogram: Vec<(f64, u64)>,
}

impl Outcome {
    /// The figures, if there are any.
    pub fn figures(&self) -> Option<&Figures> {
        match self {
            Self::Measured(figures) => Some(figures),
            _ => None,
        }
    }
}

/// All lines of `output` that begin with `{`; what else is there (a boot loader, `EXIT: STATUS=`)
/// is skipped.
pub fn parse_json(output: &str) -> Result<Vec<Line>> {
    output
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| parse_line(line).with_context(|| format!("in line {line:?}")))
        .collect()
}

fn parse_line(line: &str) -> Result<Line> {
    let value: Value = serde_json::from_str(line)?;
    let text = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .with_context(|| format!("no text '{key}'"))
    };
    let outcome = if let Ok(reason) = text("skipped") {
        Outcome::Skipped(reason.to_owned())
    } else if let Ok(reason) = text("failed") {
        Outcome::Failed(reason.to_owned())
    } else {
        Outcome::Measured(parse_figures(&value)?)
    };
    Ok(Line {
        test: text("test")?.to_owned(),
        machine: format!(
            "{} {} {}",
            text("arch")?,
            text("controller")?,
            text("level")?
        ),
        outcome,
    })
}

fn parse_figures(value: &Value) -> Result<Figures> {
    let number = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_f64)
            .with_context(|| format!("no number '{key}'"))
    };
    let buckets = value
        .get("histogram_ns")
        .and_then(Value::as_array)
        .context("no 'histogram_ns'")?;
    Ok(Figures {
        count: value
            .get("n")
            .and_then(Value::as_u64)
            .context("no number 'n'")?,
        average: number("avg_ns")?,
        min: number("min_ns")?,
        median: number("median_ns")?,
        p99: number("p99_ns")?,
        max: number("max_ns")?,
        histogram: buckets.iter().map(parse_bucket).collect::<Result<_>>()?,
    })
}

fn parse_bucket(value: &Value) -> Result<(f64, u64)> {
    match value.as_array().map(Vec::as_slice) {
        Some([bound, count]) => Ok((
            bound.as_f64().context("bucket without a bound")?,
            count.as_u64().context("bucket without a count")?,
        )),
        _ => bail!("a bucket is no pair"),
    }
}

/// A row of the table, read as kvm-unit-tests' own is: by columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Name of the test.
    pub test: String,
    /// In nanoseconds.
    pub total: f64,
    /// In nanoseconds.
    pub average: f64,
}

/// The rows below the rule of the table.
pub fn parse_table(output: &str) -> Vec<Row> {
    /// Columns of the name and of each number.
    const WIDTHS: [usize; 3] = [30, 31, 31];
    let rule = |line: &&str| {
        line.len() == WIDTHS.iter().sum::<usize>() && line.bytes().all(|byte| byte == b'-')
    };
    output
        .lines()
        .skip_while(|line| !rule(line))
        .skip(1)
        .filter_map(|line| {
            let (name, rest) = line.split_at_checked(WIDTHS[0])?;
            let (total, average) = rest.split_at_checked(WIDTHS[1])?;
            Some(Row {
                test: name.trim_end().to_owned(),
                total: total.trim().parse().ok()?,
                average: average.trim().parse().ok()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use micro_bench_model::args::Mode;
    use micro_bench_model::output::{Heading, Machine, Measured, Outcome as Printed, Report};
    use micro_bench_model::stats::{summarize, Histogram};
    use micro_bench_model::time::Frequency;
    use proptest::prelude::*;

    const MACHINE: Machine<'static> = Machine {
        arch: "x86_64",
        controller: "xAPIC",
        level: "KVM",
    };

    fn printed(mode: Mode, samples: &mut [u32]) -> String {
        let outcome = Printed::Measured(Measured {
            name: "ipi",
            histogram: Histogram::of(samples),
            summary: summarize(samples).unwrap(),
            clock: Frequency::new(1_000_000_000).unwrap(),
        });
        format!("{}{}", Heading(mode), Report(mode, &MACHINE, &outcome))
    }

    proptest! {
        #[test]
        fn what_the_payload_prints_is_read_back(mut samples in prop::collection::vec(any::<u32>(), 1..50)) {
            let lines = parse_json(&printed(Mode::Json, &mut samples)).unwrap();
            prop_assert_eq!(&lines[0].machine, "x86_64 xAPIC KVM");
            let figures = lines[0].outcome.figures().unwrap();
            prop_assert_eq!(figures.count, samples.len() as u64);
            prop_assert_eq!(figures.min, f64::from(*samples.iter().min().unwrap()));
            prop_assert_eq!(figures.histogram.iter().map(|bucket| bucket.1).sum::<u64>(), figures.count);
            let rows = parse_table(&printed(Mode::Table, &mut samples));
            prop_assert_eq!(rows[0].average, figures.average);
            prop_assert_eq!(rows[0].total, samples.iter().map(|&s| f64::from(s)).sum::<f64>());
        }
    }

    #[test]
    fn reasons() {
        for (outcome, wanted) in [
            (
                Printed::Skipped("lpi", "no ITS"),
                Outcome::Skipped("no ITS".into()),
            ),
            (
                Printed::Failed("lpi", "lost"),
                Outcome::Failed("lost".into()),
            ),
        ] {
            let line = Report(Mode::Json, &MACHINE, &outcome).to_string();
            assert_eq!(parse_json(&line).unwrap()[0].outcome, wanted);
        }
    }

    #[test]
    fn broken_lines_are_refused() {
        for line in ["{", "{\"test\":\"ipi\"}", "{\"test\":1,\"skipped\":\"x\"}"] {
            assert!(parse_json(line).is_err(), "{line}");
        }
        assert_eq!(parse_json("\nEXIT: STATUS=1\n").unwrap(), []);
    }

    #[test]
    fn a_table_of_the_original() {
        let text = "Timer Frequency 1000000000 Hz (Output in microseconds)\n\nname\n".to_owned()
            + &"-".repeat(92)
            + "\nhyp_call                               786432.0                           12.0              \
               \nlpi test skipped\n";
        assert_eq!(
            parse_table(&text),
            [Row {
                test: "hyp_call".into(),
                total: 786_432.0,
                average: 12.0
            }]
        );
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Figures that a run under `-icount` must come to.

use anyhow::{bail, ensure, Result};
use micro_bench::figures::{parse_table, Row};
use micro_bench::qemu::Run;

/// What one row must be, in instructions.
#[derive(Clone, Copy, Debug)]
pub enum Golden {
    /// This many, give or take three: what the original takes for a plain operation.
    Plain(f64),
    /// Within these bounds; Documentation/micro-bench.rst explains how they relate to the original.
    Between(f64, f64),
    /// Skipped, with this reason.
    Skipped(&'static str),
}

/// Runs it in the mode of the table and compares row by row. Every test must be named.
pub fn compare(run: &Run, golden: &[(&str, Golden)]) -> Result<()> {
    let ended = run.execute()?;
    super::ensure_status(&ended, 0)?;
    let rows = parse_table(&ended.output);
    let mut seen = 0;
    for &(test, wanted) in golden {
        let row = rows.iter().find(|row| row.test == test);
        match (wanted, row) {
            (Golden::Skipped(reason), None) => {
                let line = format!("{test} test skipped: {reason}");
                ensure!(
                    ended.output.lines().any(|output| output == line),
                    "no line {line:?} in:\n{}",
                    ended.output
                );
            }
            (Golden::Plain(average), Some(row)) => within(row, average - 3.0, average + 3.0)?,
            (Golden::Between(low, high), Some(row)) => within(row, low, high)?,
            _ => bail!(
                "{test}: {row:?} instead of {wanted:?} in:\n{}",
                ended.output
            ),
        }
        seen += usize::from(row.is_some());
    }
    ensure!(
        seen == rows.len(),
        "rows that nobody expects in:\n{}",
        ended.output
    );
    Ok(())
}

fn within(row: &Row, low: f64, high: f64) -> Result<()> {
    ensure!(
        (low..=high).contains(&row.average),
        "{}: {} is not within {low} and {high}",
        row.test,
        row.average
    );
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0

//! The table at the end of `scripts/test`.

use crate::ktap::Totals;

/// A row of the table at the end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// What ran.
    pub name: String,
    /// For how many seconds.
    pub seconds: u64,
    /// Its tests.
    pub totals: Totals,
}

impl Row {
    /// Something that counts as one test.
    pub fn once(name: &str, seconds: u64, passed: bool) -> Self {
        let totals = Totals {
            passed: usize::from(passed),
            failed: usize::from(!passed),
            skipped: 0,
        };
        Row {
            name: name.to_owned(),
            seconds,
            totals,
        }
    }

    /// Something that did not run, with a reason that is no failure.
    pub fn skipped(name: &str) -> Self {
        Row {
            name: name.to_owned(),
            seconds: 0,
            totals: Totals {
                skipped: 1,
                ..Totals::default()
            },
        }
    }
}

/// The table at the end.
pub fn table(title: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "\n{title:<30} {:>8} {:>7} {:>7} {:>8}",
        "time", "passed", "failed", "skipped"
    );
    for row in rows {
        let totals = row.totals;
        text.push_str(&format!(
            "\n{:<30} {:>6} s {:>7} {:>7} {:>8}",
            row.name, row.seconds, totals.passed, totals.failed, totals.skipped
        ));
    }
    text
}

/// The sum of all rows.
pub fn sum(rows: &[Row]) -> Totals {
    let mut totals = Totals::default();
    for row in rows {
        totals += row.totals;
    }
    totals
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
    fn the_table() {
        let rows = [
            Row::once("cargo fmt", 3, true),
            Row {
                name: String::from("siov-mdev:host"),
                seconds: 123,
                totals: totals(45, 1, 2),
            },
            Row::skipped("micro-bench"),
        ];
        let expected = "
kernel 7.3.4+deb13-amd64           time  passed  failed  skipped
cargo fmt                           3 s       1       0        0
siov-mdev:host                    123 s      45       1        2
micro-bench                         0 s       0       0        1";
        assert_eq!(table("kernel 7.3.4+deb13-amd64", &rows), expected);
        assert_eq!(sum(&rows), totals(46, 1, 3));
    }
}

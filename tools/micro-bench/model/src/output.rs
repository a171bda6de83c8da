// SPDX-License-Identifier: GPL-2.0

//! What is printed, in each of the three modes.
//!
//! The table is the one of kvm-unit-tests' micro-bench to the byte, so that what reads the one
//! reads the other. One thing differs: there the decimal of an average is always zero, here it is
//! computed.

use crate::args::Mode;
use crate::stats::{Histogram, Summary};
use crate::time::{Frequency, Tenths};
use core::fmt::{self, Display, Formatter, Write};

/// Exit status when all tests were skipped, as in kvm-unit-tests.
pub const EXIT_SKIPPED: u8 = 77;
/// Exit status when a test failed.
pub const EXIT_FAILED: u8 = 1;
/// Exit status for arguments that are not understood, or a machine that lacks what every test
/// needs.
pub const EXIT_USAGE: u8 = 2;
/// Exit status after an unexpected exception or a panic, as abort() in kvm-unit-tests.
pub const EXIT_ABORT: u8 = 127;

/// What is measured where, for the machine-readable output.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// Instruction set, `aarch64` or `x86_64`.
    pub arch: &'a str,
    /// Interrupt controller.
    pub controller: &'a str,
    /// Exception level, or who answers as a hypervisor.
    pub level: &'a str,
}

/// One measured test.
pub struct Measured<'a> {
    /// Name of the test.
    pub name: &'a str,
    /// In ticks.
    pub summary: Summary,
    /// In ticks.
    pub histogram: Histogram,
    /// Rate of the counter.
    pub clock: Frequency,
}

/// How a test ended.
pub enum Outcome<'a> {
    /// With figures.
    Measured(Measured<'a>),
    /// It cannot run here, and why.
    Skipped(&'a str, &'a str),
    /// It does not do what it should, and what went wrong.
    Failed(&'a str, &'a str),
}

/// The lines above the first test.
pub struct Heading(pub Mode);

/// The lines of one test.
pub struct Report<'a>(pub Mode, pub &'a Machine<'a>, pub &'a Outcome<'a>);

/// The last line before the machine is switched off: how kvm-unit-tests tell their exit status
/// where no device takes it. The number is what QEMU would exit with through its isa-debug-exit
/// device.
pub struct Exit(pub u8);

const RULE: usize = 92;
const STATS_RULE: usize = 106;

fn line(f: &mut Formatter<'_>, width: usize) -> fmt::Result {
    for _ in 0..width {
        f.write_char('-')?;
    }
    f.write_char('\n')
}

impl Display for Heading {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Mode::Table => {
                writeln!(
                    f,
                    "\n{:<30}{:>18}{:>13}{:>18}{:>13}",
                    "name", "total ns", "", "avg ns", ""
                )?;
                line(f, RULE)
            }
            Mode::Stats => {
                writeln!(
                    f,
                    "\n{:<30}{:>10}{:>14}{:>14}{:>14}{:>14}   ns",
                    "name", "n", "min", "median", "p99", "max"
                )?;
                line(f, STATS_RULE)
            }
            Mode::Json => Ok(()),
        }
    }
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(mode, machine, outcome) = self;
        match (mode, outcome) {
            (Mode::Json, _) => json(f, machine, outcome),
            (_, Outcome::Skipped(name, reason)) => writeln!(f, "{name} test skipped: {reason}"),
            (_, Outcome::Failed(name, reason)) => writeln!(f, "{name} test failed: {reason}"),
            (Mode::Table, Outcome::Measured(measured)) => measured.row(f),
            (Mode::Stats, Outcome::Measured(measured)) => measured.stats(f),
        }
    }
}

impl Display for Exit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nEXIT: STATUS={}", (u32::from(self.0) << 1) | 1)
    }
}

impl Measured<'_> {
    fn total(&self) -> Tenths {
        self.clock.tenths(self.summary.total)
    }

    fn average(&self) -> Tenths {
        self.total().per(self.summary.count)
    }

    fn row(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (total, average) = (self.total().0, self.average().0);
        writeln!(
            f,
            "{:<30}{:>15}.{:<15}{:>15}.{:<15}",
            self.name,
            total / 10,
            total % 10,
            average / 10,
            average % 10
        )
    }

    fn stats(&self, f: &mut Formatter<'_>) -> fmt::Result {
        /// Characters of the longest bar.
        const BAR: u64 = 40;
        let Summary {
            count,
            min,
            median,
            p99,
            max,
            ..
        } = self.summary;
        write!(f, "{:<30}{count:>10}", self.name)?;
        for ticks in [min, median, p99, max] {
            let tenths = self.clock.tenths(ticks).0;
            write!(f, "{:>12}.{}", tenths / 10, tenths % 10)?;
        }
        f.write_char('\n')?;
        let peak = u64::from(self.histogram.peak()).max(1);
        for (bound, count) in self.histogram.filled() {
            let bound = self.clock.tenths(bound).0;
            write!(f, "{:>38}.{}+{count:>8} ", bound / 10, bound % 10)?;
            // A bucket that is not empty shows.
            for _ in 0..(u64::from(count) * BAR / peak).max(1) {
                f.write_char('#')?;
            }
            f.write_char('\n')?;
        }
        Ok(())
    }
}

/// A string of JSON. The texts are our own, so only what must be escaped is.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

fn json(f: &mut Formatter<'_>, machine: &Machine<'_>, outcome: &Outcome<'_>) -> fmt::Result {
    let name = match outcome {
        Outcome::Measured(measured) => measured.name,
        Outcome::Skipped(name, _) | Outcome::Failed(name, _) => name,
    };
    write!(
        f,
        "{{\"test\":{},\"arch\":{},\"controller\":{},\"level\":{}",
        Text(name),
        Text(machine.arch),
        Text(machine.controller),
        Text(machine.level)
    )?;
    match outcome {
        Outcome::Skipped(_, reason) => write!(f, ",\"skipped\":{}", Text(reason))?,
        Outcome::Failed(_, reason) => write!(f, ",\"failed\":{}", Text(reason))?,
        Outcome::Measured(measured) => {
            let Summary {
                count,
                min,
                median,
                p99,
                max,
                ..
            } = measured.summary;
            let time = |ticks| measured.clock.tenths(ticks);
            write!(f, ",\"n\":{count},\"total_ns\":{}", measured.total())?;
            write!(
                f,
                ",\"avg_ns\":{},\"min_ns\":{}",
                measured.average(),
                time(min)
            )?;
            write!(
                f,
                ",\"median_ns\":{},\"p99_ns\":{}",
                time(median),
                time(p99)
            )?;
            write!(f, ",\"max_ns\":{},\"histogram_ns\":[", time(max))?;
            for (index, (bound, count)) in measured.histogram.filled().enumerate() {
                if index > 0 {
                    f.write_char(',')?;
                }
                write!(f, "[{},{count}]", time(bound))?;
            }
            f.write_char(']')?;
        }
    }
    f.write_str("}\n")
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::stats::summarize;
    use std::string::ToString;

    const MACHINE: Machine<'static> = Machine {
        arch: "aarch64",
        controller: "GICv3",
        level: "EL1",
    };

    fn measured(samples: &mut [u32]) -> Outcome<'static> {
        Outcome::Measured(Measured {
            name: "ipi",
            histogram: Histogram::of(samples),
            summary: summarize(samples).unwrap(),
            clock: Frequency::new(1_000_000_000).unwrap(),
        })
    }

    #[test]
    fn the_table_of_the_original() {
        let heading = Heading(Mode::Table).to_string();
        let mut lines = heading.lines();
        assert_eq!(lines.next(), Some(""));
        assert_eq!(
            lines.next(),
            Some("name                                    total ns                         avg ns             ")
        );
        assert_eq!(lines.next().map(str::len), Some(92));
        assert_eq!(
            Report(Mode::Table, &MACHINE, &measured(&mut [12; 65536])).to_string(),
            "ipi                                    786432.0                           12.0              \n"
        );
    }

    #[test]
    fn an_average_has_its_decimal() {
        let row = Report(Mode::Table, &MACHINE, &measured(&mut [1, 2])).to_string();
        assert!(row.contains(" 3.0 ") && row.contains(" 1.5 "), "{row}");
    }

    #[test]
    fn statistics() {
        let text = Report(Mode::Stats, &MACHINE, &measured(&mut [10, 10, 12, 300])).to_string();
        let mut lines = text.lines();
        assert_eq!(
            lines
                .next()
                .unwrap()
                .split_whitespace()
                .collect::<std::vec::Vec<_>>(),
            ["ipi", "4", "10.0", "10.0", "300.0", "300.0"]
        );
        assert_eq!(
            lines.next().unwrap().trim(),
            "8.0+       3 ########################################"
        );
        assert_eq!(lines.next().unwrap().trim(), "256.0+       1 #############");
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn lines_of_json() {
        assert_eq!(
            Report(Mode::Json, &MACHINE, &measured(&mut [10, 10, 12, 300])).to_string(),
            "{\"test\":\"ipi\",\"arch\":\"aarch64\",\"controller\":\"GICv3\",\"level\":\"EL1\",\"n\":4,\"total_ns\":332.0,\
             \"avg_ns\":83.0,\"min_ns\":10.0,\"median_ns\":10.0,\"p99_ns\":300.0,\"max_ns\":300.0,\
             \"histogram_ns\":[[8.0,3],[256.0,1]]}\n"
        );
        assert_eq!(
            Report(Mode::Json, &MACHINE, &Outcome::Skipped("lpi", "no \"ITS\"")).to_string(),
            "{\"test\":\"lpi\",\"arch\":\"aarch64\",\"controller\":\"GICv3\",\"level\":\"EL1\",\"skipped\":\"no \\\"ITS\\\"\"}\n"
        );
        assert_eq!(Heading(Mode::Json).to_string(), "");
    }

    #[test]
    fn skipped_and_failed() {
        let skipped = Report(Mode::Table, &MACHINE, &Outcome::Skipped("lpi", "no ITS")).to_string();
        assert_eq!(skipped, "lpi test skipped: no ITS\n");
        let failed = Report(Mode::Stats, &MACHINE, &Outcome::Failed("ipi", "lost")).to_string();
        assert_eq!(failed, "ipi test failed: lost\n");
    }

    #[test]
    fn status_as_isa_debug_exit_has_it() {
        assert_eq!(Exit(0).to_string(), "\nEXIT: STATUS=1\n");
        assert_eq!(Exit(EXIT_ABORT).to_string(), "\nEXIT: STATUS=255\n");
    }
}

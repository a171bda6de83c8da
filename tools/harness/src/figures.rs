// SPDX-License-Identifier: GPL-2.0

//! Benchmark figures: a program prints `# bench VALUE UNIT NAME`, several guests run it, and the
//! table puts them side by side. A program that measures several variants in one guest prints
//! `# bench[VARIANT] VALUE UNIT NAME`.

use std::fmt::Write as _;
use std::str::FromStr;

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured; equal names are compared.
    pub name: String,
    /// Unit, e.g. `insn`, for instructions.
    pub unit: String,
    /// The figure.
    pub value: f64,
}

/// The figures of one guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variant {
    /// Name of the variant, e.g. `C`.
    pub name: String,
    /// Its figures in the order they were printed.
    pub rows: Vec<Row>,
}

/// What follows `# bench` and, if there is one, the name of a variant, which must be `name`.
fn words<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.trim_start().strip_prefix("# bench")?;
    match rest.strip_prefix('[') {
        Some(named) => named.strip_prefix(name)?.strip_prefix("] "),
        None => rest.strip_prefix(' '),
    }
}

/// Reads the figures of a variant out of a guest's output. A malformed line is an error: a figure
/// must not get lost.
pub fn parse(name: &str, log: &str) -> Result<Variant, String> {
    let mut rows: Vec<Row> = Vec::new();
    for line in log.lines() {
        let Some(rest) = words(line, name) else {
            continue;
        };
        let mut words = rest.splitn(3, ' ');
        let (Some(value), Some(unit), Some(row)) = (words.next(), words.next(), words.next())
        else {
            return Err(format!("{name}: not a figure: {line:?}"));
        };
        let value: f64 = value
            .parse()
            .map_err(|_| format!("{name}: not a number: {line:?}"))?;
        if !value.is_finite() {
            return Err(format!("{name}: not a number: {line:?}"));
        }
        let row = row.trim();
        if rows.iter().any(|known| known.name == row) {
            return Err(format!("{name}: two figures for {row:?}"));
        }
        rows.push(Row {
            name: row.to_owned(),
            unit: unit.to_owned(),
            value,
        });
    }
    Ok(Variant {
        name: name.to_owned(),
        rows,
    })
}

impl Variant {
    fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

/// A ratio that is aimed at: rows whose name starts with `prefix` should be at most `ratio` of the
/// first variant.
#[derive(Clone, Debug, PartialEq)]
pub struct Aim {
    /// Start of the rows' names; the longest that fits counts.
    pub prefix: String,
    /// The ratio.
    pub ratio: f64,
}

impl FromStr for Aim {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("{text:?} is not PREFIX=RATIO");
        let (prefix, ratio) = text.rsplit_once('=').ok_or_else(error)?;
        let ratio: f64 = ratio.trim().parse().map_err(|_| error())?;
        if !(ratio.is_finite() && ratio > 0.0) {
            return Err(error());
        }
        Ok(Aim {
            prefix: prefix.to_owned(),
            ratio,
        })
    }
}

/// A table with its verdict.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The table, one line per row.
    pub text: String,
    /// Rows that a variant lacks. Such a comparison is not whole.
    pub missing: Vec<String>,
    /// Rows above their aim.
    pub above: Vec<String>,
}

fn figure(value: f64) -> String {
    if value.fract().abs() < 0.005 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

/// Compares every variant with the first one.
pub fn table(variants: &[Variant], aims: &[Aim]) -> Table {
    let mut table = Table::default();
    let mut names: Vec<(&str, &str)> = Vec::new();
    for row in variants.iter().flat_map(|variant| &variant.rows) {
        if !names.iter().any(|(name, _)| *name == row.name) {
            names.push((&row.name, &row.unit));
        }
    }
    let width = names
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0)
        .max(9);
    let unit_width = names
        .iter()
        .map(|(_, unit)| unit.len())
        .max()
        .unwrap_or(0)
        .max(4);

    let mut line = format!("{:width$}  {:unit_width$}", "operation", "unit");
    for (index, variant) in variants.iter().enumerate() {
        let _ = write!(line, "  {:>12}", variant.name);
        if index > 0 {
            let _ = write!(line, "  {:>6}  {:>6}", "ratio", "aim");
        }
    }
    table.text.push_str(line.trim_end());
    table.text.push('\n');

    for (name, unit) in names {
        let mut line = format!("{name:width$}  {unit:unit_width$}");
        let base = variants.first().and_then(|variant| variant.row(name));
        let aim = aims
            .iter()
            .filter(|aim| name.starts_with(&aim.prefix))
            .max_by_key(|aim| aim.prefix.len());
        for (index, variant) in variants.iter().enumerate() {
            let row = variant.row(name);
            match row {
                Some(row) => {
                    let _ = write!(line, "  {:>12}", figure(row.value));
                    if row.unit != unit {
                        table
                            .missing
                            .push(format!("{name}: {} has unit {}", variant.name, row.unit));
                    }
                }
                None => {
                    let _ = write!(line, "  {:>12}", "-");
                    table
                        .missing
                        .push(format!("{name}: {} has no figure", variant.name));
                }
            }
            if index == 0 {
                continue;
            }
            match (base, row) {
                (Some(base), Some(row)) if base.value != 0.0 => {
                    let ratio = row.value / base.value;
                    let _ = write!(line, "  {ratio:>6.2}");
                    if let Some(aim) = aim {
                        let _ = write!(line, "  {:>6.2}", aim.ratio);
                        if ratio > aim.ratio {
                            line.push_str("  above");
                            table.above.push(format!(
                                "{name}: {} is {ratio:.2} of {}",
                                variant.name, variants[0].name
                            ));
                        }
                    }
                }
                _ => {
                    let _ = write!(line, "  {:>6}", "-");
                }
            }
        }
        table.text.push_str(line.trim_end());
        table.text.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_output() {
        let variant = parse(
            "C",
            "KTAP version 1\n# bench 921 insn map 4 KiB\n  # bench 1.5 desc unmap\n1..1\n",
        )
        .unwrap();
        assert_eq!(variant.rows.len(), 2);
        assert_eq!(variant.rows[0].name, "map 4 KiB");
        assert_eq!(variant.rows[1].value, 1.5);
    }

    #[test]
    fn figures_of_one_variant_are_told_from_those_of_others() {
        let log = "# bench[C] 3 ns write\n# bench[CC] 4 ns write\n# bench 5 ns both\n";
        let names = |name| -> Vec<f64> {
            let rows = parse(name, log).unwrap().rows;
            rows.iter().map(|row| row.value).collect()
        };
        assert_eq!(names("C"), [3.0, 5.0]);
        assert_eq!(names("CC"), [4.0, 5.0]);
        assert_eq!(names("D"), [5.0]);
    }

    #[test]
    fn malformed_figures_are_errors() {
        assert!(parse("C", "# bench x insn map\n").is_err());
        assert!(parse("C", "# bench 1 insn\n").is_err());
        assert!(parse("C", "# bench NaN insn map\n").is_err());
        assert!(parse("C", "# bench 1 insn map\n# bench 2 insn map\n").is_err());
    }

    #[test]
    fn ratios_and_aims() {
        let c = parse("C", "# bench 1000 insn map 4k\n# bench 100 insn unmap\n").unwrap();
        let rust = parse("vtd", "# bench 750 insn map 4k\n# bench 101 insn unmap\n").unwrap();
        let aims = [
            Aim {
                prefix: String::new(),
                ratio: 1.0,
            },
            Aim {
                prefix: String::from("map"),
                ratio: 0.8,
            },
        ];
        let table = table(&[c, rust], &aims);
        let lines: Vec<Vec<&str>> = table
            .text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines[1],
            ["map", "4k", "insn", "1000", "750", "0.75", "0.80"]
        );
        assert_eq!(
            lines[2],
            ["unmap", "insn", "100", "101", "1.01", "1.00", "above"]
        );
        assert_eq!(table.above, ["unmap: vtd is 1.01 of C"]);
        assert_eq!(table.missing, Vec::<String>::new());
    }

    #[test]
    fn rows_that_a_variant_lacks() {
        let c = parse("C", "# bench 1 insn map\n").unwrap();
        let rust = parse("vtd", "# bench 1 insn unmap\n").unwrap();
        let table = table(&[c, rust], &[]);
        assert_eq!(
            table.missing,
            ["map: vtd has no figure", "unmap: C has no figure"]
        );
    }

    #[test]
    fn units_must_agree() {
        let c = parse("C", "# bench 1 insn map\n").unwrap();
        let rust = parse("vtd", "# bench 1 ns map\n").unwrap();
        assert_eq!(table(&[c, rust], &[]).missing, ["map: vtd has unit ns"]);
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Blocked requests, as `vtd` counts them in debugfs.

use crate::ktap::Result;
use crate::pci::Function;
use crate::{poll, sysfs};
use anyhow::Context;
use std::fs;

const ROOT: &str = "/sys/kernel/debug/vtd";

/// Directories of the remapping units.
///
/// # Errors
///
/// Those of debugfs: there are none unless `vtd` is loaded.
pub fn units() -> Result<Vec<String>> {
    let mut units = Vec::new();
    for entry in fs::read_dir(ROOT).context(ROOT)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            units.push(entry.path().to_string_lossy().into_owned());
        }
    }
    units.sort();
    Ok(units)
}

/// A counter of all units together, by its name in the file `counters`.
///
/// # Errors
///
/// When there is none of that name.
pub fn counter(name: &str) -> Result<u64> {
    let mut sum = 0;
    for unit in units()? {
        let text = sysfs::read(format!("{unit}/counters"))?;
        let line = text
            .lines()
            .find(|line| line.split_whitespace().next() == Some(name));
        let line = line.with_context(|| format!("{unit}/counters has no {name}"))?;
        sum += line
            .split_whitespace()
            .last()
            .unwrap_or("")
            .parse::<u64>()?;
    }
    Ok(sum)
}

/// Blocked requests of `function` so far.
///
/// # Errors
///
/// When `vtd` does not translate it.
pub fn of(function: &Function) -> Result<u64> {
    for unit in units()? {
        let text = sysfs::read(format!("{unit}/devices"))?;
        let mut lines = text.lines();
        let headings = lines.next().unwrap_or("");
        let column = headings
            .split_whitespace()
            .position(|word| word == "faults");
        let column = column.with_context(|| format!("{unit}/devices counts no faults"))?;
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.first() == Some(&function.address()) {
                return Ok(words.get(column).context("short line")?.parse()?);
            }
        }
    }
    anyhow::bail!("no unit translates {function}")
}

/// Runs `provoke`, and checks that exactly `expected` requests of `function` have been blocked by
/// the end of it.
///
/// # Errors
///
/// Those of `provoke`, or when it was another number.
pub fn expect(function: &Function, expected: u64, provoke: impl FnOnce() -> Result) -> Result {
    let before = of(function)?;
    provoke()?;
    let what = format!("{expected} requests of {function} are blocked");
    if expected != 0 {
        // The interrupt may still be under way.
        poll::until_true(&what, || Ok(of(function)? >= before + expected))?;
    }
    let found = of(function)? - before;
    anyhow::ensure!(found == expected, "{what}: {found} were");
    Ok(())
}

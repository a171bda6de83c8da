// SPDX-License-Identifier: GPL-2.0

//! What the hardware's tables hold, as `vtd` prints them in debugfs
//! (`Documentation/ABI/debugfs-vtd`).

use crate::faults::units;
use crate::ktap::Result;
use crate::pci::Function;
use crate::sysfs;

/// A range of device addresses that is mapped to consecutive memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    /// First address.
    pub first: u64,
    /// Last address.
    pub last: u64,
    /// Physical address of the first byte.
    pub phys: u64,
    /// "rw", "r-" or "-w".
    pub access: String,
    /// "4K", "2M", "1G" or "mixed".
    pub leaf: String,
}

fn address(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn parse(line: &str) -> Option<Range> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [range, "->", phys, access, leaf] = words.as_slice() else {
        return None;
    };
    let (first, last) = range.split_once('-')?;
    Some(Range {
        first: address(first)?,
        last: address(last)?,
        phys: address(phys)?,
        access: (*access).to_owned(),
        leaf: (*leaf).to_owned(),
    })
}

/// All lines about the PASID table of `function`.
fn lines(function: &Function) -> Result<Vec<String>> {
    for unit in units()? {
        let text = sysfs::read(format!("{unit}/tables"))?;
        let mut lines = text.lines();
        if lines.any(|line| line.starts_with(function.address())) {
            let own = lines.take_while(|line| line.starts_with(' '));
            return Ok(own.map(str::to_owned).collect());
        }
    }
    anyhow::bail!("no unit has a context entry for {function}")
}

/// What is printed of the context entry of `function`, or in its place.
///
/// # Errors
///
/// As [`ranges`].
pub fn context_entry(function: &Function) -> Result<String> {
    for unit in units()? {
        let text = sysfs::read(format!("{unit}/tables"))?;
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix(function.address()));
        if let Some(rest) = found {
            return Ok(rest.trim_start().to_owned());
        }
    }
    anyhow::bail!("no unit has {function}")
}

/// All ranges that requests of `function` without PASID are translated by.
///
/// # Errors
///
/// Those of debugfs, or when no unit translates it.
pub fn ranges(function: &Function) -> Result<Vec<Range>> {
    let lines = lines(function)?;
    Ok(lines.iter().filter_map(|line| parse(line)).collect())
}

/// What the PASID entry of requests of `function` without PASID says; `None` if they are blocked.
///
/// # Errors
///
/// As [`ranges`].
pub fn entry(function: &Function) -> Result<Option<String>> {
    let lines = lines(function)?;
    let entry = lines.iter().find_map(|line| {
        let (pasid, entry) = line.trim_start().strip_prefix("PASID ")?.split_once(": ")?;
        (address(pasid)? == 0).then(|| entry.to_owned())
    });
    Ok(entry)
}

/// The range that has `iova`.
///
/// # Errors
///
/// As [`ranges`].
pub fn range_of(function: &Function, iova: u64) -> Result<Option<Range>> {
    let mut ranges = ranges(function)?.into_iter();
    Ok(ranges.find(|range| (range.first..=range.last).contains(&iova)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line() {
        let line = "    0x000100000000-0x0001001fffff -> 0x000012345000 rw 2M";
        let range = parse(line).unwrap();
        assert_eq!((range.first, range.last), (0x1_0000_0000, 0x1_001f_ffff));
        assert_eq!((range.phys, range.leaf.as_str()), (0x1234_5000, "2M"));
        assert_eq!(parse("    pages of tables: 3"), None);
        assert_eq!(parse("  PASID 0x0: second stage"), None);
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Counters of the kernel that tell of leaks and of interrupts.

use crate::ktap::Result;
use crate::sysfs;
use anyhow::Context;
use std::collections::BTreeMap;
use std::path::Path;

/// A counter of /proc/vmstat.
///
/// # Errors
///
/// When there is none of that name.
pub fn vmstat(name: &str) -> Result<i64> {
    // Each processor keeps changes to itself until there are some; this collects them.
    sysfs::read("/proc/sys/vm/stat_refresh")?;
    let text = sysfs::read("/proc/vmstat")?;
    let value = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(known, _)| *known == name)
        .with_context(|| format!("/proc/vmstat has no {name}"))?
        .1;
    Ok(value.parse()?)
}

/// Pages that IOMMU drivers have for their tables.
///
/// # Errors
///
/// Those of procfs.
pub fn iommu_pages() -> Result<i64> {
    vmstat("nr_iommu_pages")
}

/// A line of /proc/meminfo that is in kB, in bytes.
///
/// # Errors
///
/// When there is none of that name.
pub fn meminfo(name: &str) -> Result<u64> {
    let text = sysfs::read("/proc/meminfo")?;
    let value = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(known, _)| *known == name)
        .with_context(|| format!("/proc/meminfo has no {name}"))?
        .1;
    let kilobytes: u64 = value.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes << 10)
}

/// Whether [`slabs`] tells what is in use: KASAN keeps freed objects for a while. Where it does
/// not, kmemleak tells of objects that nobody knows any more.
pub fn has_exact_slabs() -> bool {
    !Path::new("/sys/kernel/debug/kmemleak").exists()
}

/// Objects in use of each slab cache, with their size in bytes.
///
/// # Errors
///
/// Those of procfs.
pub fn slabs() -> Result<BTreeMap<String, (i64, i64)>> {
    let text = sysfs::read("/proc/slabinfo")?;
    let mut slabs = BTreeMap::new();
    // Two lines of headings.
    for line in text.lines().skip(2) {
        let mut words = line.split_whitespace();
        let (Some(name), Some(active), _, Some(size)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        slabs.insert(name.to_owned(), (active.parse()?, size.parse()?));
    }
    Ok(slabs)
}

/// Interrupts so far, on all processors, of those whose line in /proc/interrupts has `name`.
///
/// # Errors
///
/// When there is none.
pub fn interrupts(name: &str) -> Result<u64> {
    let text = sysfs::read("/proc/interrupts")?;
    let mut lines = text.lines().filter(|line| line.contains(name)).peekable();
    lines
        .peek()
        .with_context(|| format!("/proc/interrupts has no {name}"))?;
    Ok(lines
        .flat_map(|line| {
            line.split_whitespace()
                .skip(1)
                .map_while(|word| word.parse::<u64>().ok())
        })
        .sum())
}

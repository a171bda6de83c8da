// SPDX-License-Identifier: GPL-2.0

//! Who saw how many exits: this program, and KVM itself by its files in debugfs.

use anyhow::{Context, Result};
use siov_vmm::debugfs;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Named counts. Of this program `in:PORT`, `out:PORT`, `read:ADDRESS`, `write:ADDRESS`, with
/// `ring-` before it if the write came through the ring; of KVM the names of its files, and for
/// each zone, where KVM counts those, `kvm-ring-` and `kvm-full-` before the name of the write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// One more.
    pub fn add(&mut self, name: String) {
        *self.0.entry(name).or_default() += 1;
    }

    /// Zero if it never came.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// What has come since.
    pub fn since(&self, earlier: &Self) -> Self {
        let change = |(name, count): (&String, &u64)| {
            (name.clone(), count.saturating_sub(earlier.get(name)))
        };
        Self(
            self.0
                .iter()
                .map(change)
                .filter(|(_, count)| *count > 0)
                .collect(),
        )
    }

    /// Both.
    pub fn merge(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// As `NAME=COUNT` words.
    pub fn words(&self) -> String {
        self.0
            .iter()
            .fold(String::new(), |mut text, (name, count)| {
                // Writing to a string cannot fail.
                let _ = write!(text, " {name}={count}");
                text
            })
    }

    /// From words.
    pub fn parse(words: &str) -> Result<Self> {
        words
            .split_whitespace()
            .map(|word| {
                let (name, count) = word.rsplit_once('=').context("no count")?;
                Ok((name.to_owned(), count.parse()?))
            })
            .collect::<Result<_>>()
            .map(Self)
    }
}

/// KVM's files of one machine.
pub struct Debugfs(PathBuf);

/// What is read there.
const FILES: [&str; 4] = ["exits", "io_exits", "mmio_exits", "hypercalls"];

impl Debugfs {
    /// Of the machine with this descriptor, made by this process. Without debugfs there are no such
    /// counts.
    pub fn of(fd: i32) -> Self {
        let name = format!("{}-{fd}", std::process::id());
        Self(Path::new("/sys/kernel/debug/kvm").join(name))
    }

    /// Reads all.
    pub fn read(&self) -> Counters {
        self.files().merge(self.zones())
    }

    fn zones(&self) -> Counters {
        let mut counters = BTreeMap::new();
        // C code does not count, and ours does from the first zone on.
        let report = debugfs::read(&self.0.join("coalesced_io")).unwrap_or_default();
        for (zone, counts) in report.zones {
            let kind = if zone.pio == 1 { "out" } else { "write" };
            let name = format!("{kind}:{:#x}", zone.addr);
            counters.insert(format!("kvm-ring-{name}"), counts.coalesced);
            counters.insert(format!("kvm-full-{name}"), counts.full);
        }
        Counters(counters)
    }

    fn files(&self) -> Counters {
        let number = |name: &&str| -> Option<(String, u64)> {
            let text = std::fs::read_to_string(self.0.join(name)).ok()?;
            Some(((*name).to_owned(), text.trim().parse().ok()?))
        };
        Counters(FILES.iter().filter_map(number).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes() {
        let mut counters = Counters::default();
        counters.add("out:0x70".into());
        let earlier = counters.clone();
        counters.add("out:0x70".into());
        counters.add("in:0xcf8".into());
        let change = counters.since(&earlier);
        assert_eq!(change.words(), " in:0xcf8=1 out:0x70=1");
        assert_eq!(Counters::parse(&change.words()).unwrap(), change);
        assert_eq!(counters.since(&counters), Counters::default());
    }
}

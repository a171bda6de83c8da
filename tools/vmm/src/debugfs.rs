// SPDX-License-Identifier: GPL-2.0

//! The file `coalesced_io` of a VM in debugfs (`Documentation/virt/kvm/coalesced-io.rst`).

use crate::{Vm, Zone};
use anyhow::{bail, Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// What became of the writes to a zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Went into the ring.
    pub coalesced: u64,
    /// Found it full.
    pub full: u64,
    /// Found an index outside of it.
    pub bad_index: u64,
}

/// The whole file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// `capacity`, `waiting` and `peak`.
    pub numbers: BTreeMap<String, u64>,
    /// The zones, in the order in which they were registered.
    pub zones: Vec<(Zone, Counts)>,
    /// All zones that are no longer registered.
    pub gone: Counts,
}

/// The file of a VM of this process.
pub fn path(vm: &Vm) -> PathBuf {
    format!(
        "/sys/kernel/debug/kvm/{}-{}/coalesced_io",
        vm.creator(),
        vm.fd().as_raw_fd()
    )
    .into()
}

/// KVM's folder of the one VM that there is, whoever made it.
///
/// # Errors
///
/// When there is none, or several.
pub fn only_vm() -> Result<PathBuf> {
    const KVM: &str = "/sys/kernel/debug/kvm";
    let mut vms = Vec::new();
    for entry in fs::read_dir(KVM).context(KVM)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            vms.push(entry.path());
        }
    }
    match &vms[..] {
        [vm] => Ok(vm.clone()),
        _ => bail!("{} machines, expected one", vms.len()),
    }
}

/// Reads and checks a file.
///
/// # Errors
///
/// Those of reading, and lines that are not as described.
pub fn read(path: &Path) -> Result<Report> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text).with_context(|| format!("{}:\n{text}", path.display()))
}

fn parse(text: &str) -> Result<Report> {
    let mut report = Report::default();
    for line in text.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [name @ ("capacity" | "waiting" | "peak"), value] => {
                report.numbers.insert(name.to_owned(), value.parse()?);
            }
            ["space", ..] => {}
            ["gone", a, b, c] => report.gone = counts([a, b, c])?,
            [space @ ("mmio" | "pio"), addr, size, a, b, c] => {
                let zone = Zone {
                    addr: hex(addr)?,
                    size: u32::try_from(hex(size)?)?,
                    pio: u32::from(space == "pio"),
                };
                report.zones.push((zone, counts([a, b, c])?));
            }
            _ => bail!("not understood: {line:?}"),
        }
    }
    Ok(report)
}

fn hex(word: &str) -> Result<u64> {
    let digits = word.strip_prefix("0x").context("no 0x")?;
    Ok(u64::from_str_radix(digits, 16)?)
}

fn counts(words: [&str; 3]) -> Result<Counts> {
    Ok(Counts {
        coalesced: words[0].parse()?,
        full: words[1].parse()?,
        bad_index: words[2].parse()?,
    })
}

impl Report {
    /// The zone of ports that begins at `port`, and its counts.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn ports(&self, port: u16) -> Result<&(Zone, Counts)> {
        self.zones
            .iter()
            .find(|(zone, _)| zone.pio == 1 && zone.addr == u64::from(port))
            .with_context(|| format!("no zone at port {port:#x}: {self:x?}"))
    }

    /// The counts of the one zone that is registered with these numbers.
    ///
    /// # Errors
    ///
    /// When there is none, or several.
    pub fn zone(&self, zone: Zone) -> Result<Counts> {
        let mut found = self.zones.iter().filter(|(known, _)| *known == zone);
        match (found.next(), found.next()) {
            (Some((_, counts)), None) => Ok(*counts),
            _ => bail!("{zone:x?} is not there once: {self:#x?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_understood() {
        let text =
            "capacity 169\nwaiting 2\npeak 7\nspace address size coalesced ring-full bad-index\n\
                    pio   0x0000000000000070 0x00000001         12          3          0\n\
                    gone                                   1          2          3\n";
        let report = parse(text).unwrap();
        assert_eq!(report.numbers["peak"], 7);
        let zone = report.zone(Zone::pio(0x70, 1)).unwrap();
        assert_eq!((zone.coalesced, zone.full, zone.bad_index), (12, 3, 0));
        assert_eq!(report.gone.bad_index, 3);
        assert!(report.zone(Zone::mmio(0x70, 1)).is_err());
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(parse("peak x\n").is_err());
        assert!(parse("pio 70 1 2 3 4\n").is_err());
        assert!(parse("gone 1 2\n").is_err());
        assert!(parse("else\n").is_err());
    }
}

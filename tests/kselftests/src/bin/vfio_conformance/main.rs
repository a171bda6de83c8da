// SPDX-License-Identifier: GPL-2.0

//! Whether our type1 driver answers as the shipped one does: each case is run on both, and the
//! transcripts are compared line by line.
//!
//! Argument: `--seeds N`, how many sequences of random requests there are (24).

mod emulated;
mod external;
mod process;
mod random;
mod raw;
mod requests;

use anyhow::{ensure, Context};
use raw::Node;
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{self, expect_console, note, Plan, Result};
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pci::{Function, EDU, IGB};
use siov_kselftests::{kernel_module, sysfs};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// What can be put into containers.
pub struct Devices {
    functions: Vec<Node>,
    emulated: Vec<Node>,
    bars: Option<Function>,
    seeds: u64,
}

impl Devices {
    fn new(seeds: u64) -> Result<Self> {
        let functions = Function::all(EDU)?;
        ensure!(functions.len() >= 2, "the guest has fewer than two edu");
        Ok(Self {
            functions: functions
                .iter()
                .map(Node::of_function)
                .collect::<Result<_>>()?,
            emulated: vec![Node::emulated(0)?, Node::emulated(1)?],
            bars: Function::first(IGB).ok(),
            seeds,
        })
    }

    /// Registers that sysfs maps: memory without pages.
    fn resource(&self, bar: u32) -> Result<Mapping> {
        self.bars.as_ref().context("no igb")?.map_bar(bar)
    }
}

type Case = (&'static str, fn(&Devices) -> Result<Vec<String>>);

const CASES: &[Case] = &[
    ("before a group is attached", requests::before_attaching),
    ("kinds of containers", requests::kinds),
    ("information", requests::info),
    ("mapping", requests::map),
    ("unmapping", requests::unmap),
    ("updating process addresses", requests::vaddr),
    ("dirty tracking", requests::dirty),
    ("kinds of memory", requests::memory),
    ("groups", requests::groups),
    ("limit of mappings", requests::entry_limit),
    ("without huge pages", requests::no_huge_pages),
    ("pins of emulated devices", external::pins),
    ("copies of emulated devices", external::copies),
    (
        "emulated devices in a container of version 1",
        external::version_1,
    ),
    ("dirty tracking of emulated devices", external::dirty),
    (
        "updating process addresses beside emulated devices",
        external::vaddr,
    ),
    (
        "groups of both kinds that come and go",
        external::coming_and_going,
    ),
    ("groups that cannot join", external::refused),
    ("limit of locked memory", process::memory_limit),
    ("a container in the hands of a child", process::forked),
    ("mappings handed over to a child", process::handed_over),
    ("a container that outlives a program", process::executed),
    ("a process killed while it maps", process::killed),
    ("random requests", random::requests),
];

type Transcripts = BTreeMap<&'static str, std::result::Result<Vec<String>, String>>;

/// Runs all cases on the driver that `load` loads.
fn transcripts(seeds: u64, load: impl Fn() -> Result) -> Result<Transcripts> {
    kernel_module::modprobe("vfio", "")?;
    // vfio asks for it (a soft dependency).
    if kernel_module::is_loaded("vfio_iommu_type1") {
        kernel_module::unload("vfio_iommu_type1")?;
    }
    load()?;
    kernel_module::modprobe("vfio-pci", "")?;
    kernel_module::modprobe("vfio_ktest", "")?;
    let devices = Devices::new(seeds)?;
    let mut all = Transcripts::new();
    for (name, run) in CASES {
        all.insert(name, run(&devices).map_err(|error| format!("{error:#}")));
    }
    kernel_module::unload("vfio_iommu_type1")?;
    Ok(all)
}

/// Whether a line says the same, but that the shipped driver has further pages dirty.
fn is_more_exact(theirs: &str, ours: &str) -> bool {
    let parts = |line: &str| {
        let (words, bits) = line.strip_prefix(raw::AGAIN)?.split_once('[')?;
        let bits = bits.trim_end_matches(']').split(", ");
        let bits: Option<Vec<u64>> = bits
            .map(|word| u64::from_str_radix(word, 16).ok())
            .collect();
        Some((words.to_owned(), bits?))
    };
    match (parts(theirs), parts(ours)) {
        (Some((their_words, theirs)), Some((our_words, ours))) => {
            let within = theirs
                .iter()
                .zip(&ours)
                .all(|(theirs, ours)| ours & !theirs == 0);
            their_words == our_words && theirs.len() == ours.len() && within
        }
        _ => false,
    }
}

/// Prints where two transcripts differ.
fn compare(theirs: &[String], ours: &[String]) -> Result {
    let mut different = 0;
    for index in 0..theirs.len().max(ours.len()) {
        let line = |lines: &[String]| lines.get(index).cloned().unwrap_or_else(|| "(end)".into());
        let (theirs, ours) = (line(theirs), line(ours));
        if theirs != ours && !is_more_exact(&theirs, &ours) {
            different += 1;
            if different <= 12 {
                note(format!("line {index}\n  C:    {theirs}\n  ours: {ours}"));
            }
        }
    }
    ensure!(
        different == 0,
        "{different} of {} lines differ",
        theirs.len()
    );
    note(format!("{} lines", theirs.len()));
    Ok(())
}

fn setup(seeds: u64) -> Result<(Transcripts, Transcripts)> {
    sysfs::write("/proc/sys/vm/nr_hugepages", "8")?;
    let parameters = "allow_unsafe_interrupts=1";
    let mut log = KernelLog::from_now()?;
    let ours = transcripts(seeds, || {
        kernel_module::load("vfio_iommu_type1", parameters)
    })?;
    // The C driver takes two of its locks in both orders, which lockdep reports, once. Ours comes
    // first, so that lockdep still looks at it.
    let report = "possible circular locking dependency";
    ensure!(log.count(&[report])? == 0, "our driver: {report}");
    expect_console(report);
    let theirs = transcripts(seeds, || {
        kernel_module::load_stock("vfio_iommu_type1", parameters)
    })?;
    Ok((theirs, ours))
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (kind, number) = (words.next(), words.next());
    if kind.as_deref() == Some("--inherited") {
        let container = number.and_then(|word| word.parse().ok()).unwrap_or(-1);
        let lines = process::inherited(container);
        println!(
            "{}",
            lines.unwrap_or_else(|e| vec![format!("{e:#}")]).join("\n")
        );
        return ExitCode::SUCCESS;
    }
    let seeds = match kind.as_deref() {
        Some("--seeds") => number.and_then(|word| word.parse().ok()),
        _ => Some(24),
    };
    let setup = || setup(seeds.context("--seeds takes a number")?);
    ktap::run(setup, |(theirs, ours)| {
        let mut plan = Plan::new(());
        for (name, _) in CASES {
            let pair = (theirs.get(name).cloned(), ours.get(name).cloned());
            plan = plan.case(*name, move |()| {
                let (Some(theirs), Some(ours)) = &pair else {
                    anyhow::bail!("no transcript");
                };
                let lines = |side: &std::result::Result<Vec<String>, String>| {
                    side.clone().map_err(|error| anyhow::anyhow!(error))
                };
                let (theirs, ours) = (lines(theirs).context("C")?, lines(ours).context("ours")?);
                ensure!(!theirs.is_empty(), "an empty transcript");
                compare(&theirs, &ours)
            });
        }
        plan.run()
    })
}

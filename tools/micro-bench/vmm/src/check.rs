// SPDX-License-Identifier: GPL-2.0

//! Tests: under KVM each operation is what it claims to be, as this program's and KVM's own
//! counters show.

use crate::counters::Counters;
use anyhow::{bail, ensure, Context};
use siov_kselftests::ktap::{note, Plan, Result};
use std::collections::BTreeMap;
use std::process::{Command, ExitCode};

/// Repetitions of each test; well above what a ring holds.
const REPEAT: u64 = 600;
/// Arguments of the payload.
const ARGUMENTS: [&str; 2] = ["repeat=600", "timeout-ms=60000"];
/// Exits to this program that coalescing leaves, at most: one for each full ring, and a ring has
/// some 170 entries.
const FULL: u64 = REPEAT / 50;

/// What one run showed: its output, and the exits of each test.
struct Shown {
    output: String,
    tests: BTreeMap<String, Counters>,
}

impl Shown {
    /// In a process of its own, which ends the second processor with it.
    fn by_run(payload: &str, coalesce: bool) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("run").args(coalesce.then_some("--coalesce"));
        let out = command.arg(payload).args(ARGUMENTS).output()?;
        let output = String::from_utf8_lossy(&out.stdout).into_owned();
        ensure!(
            out.status.success(),
            "{}\n{output}{}",
            out.status,
            String::from_utf8_lossy(&out.stderr)
        );
        let mut tests = BTreeMap::new();
        for line in output
            .lines()
            .filter_map(|line| line.strip_prefix("exits: "))
        {
            let (name, words) = line.split_once(' ').unwrap_or((line, ""));
            tests.insert(name.to_owned(), Counters::parse(words)?);
        }
        Ok(Self { output, tests })
    }

    /// The exits of a test, which must have been measured.
    fn test(&self, name: &str) -> Result<&Counters> {
        ensure!(
            !self.output.contains(&format!("{name} test ")),
            "{name} was not measured:\n{}",
            self.output
        );
        self.tests
            .get(name)
            .with_context(|| format!("no line of {name}:\n{}", self.output))
    }
}

/// Exits that a test must have led to.
#[derive(Clone, Copy)]
enum Wanted {
    /// KVM counts this many of the kind and this program none: (file, besides the repetitions).
    Kernel(&'static str, u64),
    /// KVM counts at least one exit for each repetition, and this program none.
    Some,
    /// The guest counts its interrupts. How many exits each takes is the processor's affair, and a
    /// slow machine may come to fewer repetitions in the time there is.
    Interrupts,
    /// This program counts one of the kind for each repetition, and others besides.
    User(&'static str, u64),
    /// Writes that are collected if that is asked for, and come by exits if not; and others
    /// besides.
    Collected(&'static str, u64),
}

/// By test. What comes besides is the preparation.
const TESTS: [(&str, Wanted); 18] = [
    ("cpuid", Wanted::Some),
    ("vmcall", Wanted::Kernel("hypercalls", 1)),
    ("rdmsr", Wanted::Some),
    ("wrmsr", Wanted::Some),
    ("rd_tsc_adjust_msr", Wanted::Some),
    ("wr_tsc_adjust_msr", Wanted::Some),
    ("inl_from_kernel", Wanted::Some),
    ("inl_from_user", Wanted::User("in:0xcf8", 1)),
    ("outb_plain", Wanted::User("out:0x80", 0)),
    ("outb_0x70", Wanted::Collected("out:0x70", 0)),
    ("outl_plain", Wanted::User("out:0xcfc", 0)),
    ("outl_0xcf8", Wanted::Collected("out:0xcf8", 1)),
    ("mmio_read_user", Wanted::User("read:0xfed00000", 0)),
    ("mmio_write_user", Wanted::User("write:0xfed00000", 0)),
    (
        "mmio_write_coalesced",
        Wanted::Collected("write:0xd0000000", 0),
    ),
    ("eoi", Wanted::Some),
    ("ipi", Wanted::Interrupts),
    ("self_ipi", Wanted::Interrupts),
];

/// Everything that this program counts.
const USER: [&str; 10] = [
    "in:0xcf8",
    "in:0x4d0",
    "out:0x80",
    "out:0x70",
    "out:0xcf8",
    "out:0xcfc",
    "read:0xfed00000",
    "write:0xfed00000",
    "write:0xd0000000",
    "write:0xfee000b0",
];

/// How a run is set up.
#[derive(Clone, Copy)]
struct Setup {
    /// Zones are registered.
    coalesced: bool,
    /// The kernel counts what becomes of writes to them.
    counted: bool,
}

/// The kernel's counts of a zone are ours: the writes that we found in the ring, and those that
/// found it full.
fn judge_zone(exits: &Counters, kind: &str, setup: Setup) -> Result<()> {
    let (ring, full) = match setup.coalesced && setup.counted {
        true => (exits.get(&format!("ring-{kind}")), exits.get(kind)),
        false => (0, 0),
    };
    let counted = |how| exits.get(&format!("kvm-{how}-{kind}"));
    ensure!(
        (counted("ring"), counted("full")) == (ring, full),
        "the kernel counts something else: {}",
        exits.words()
    );
    Ok(())
}

fn judge(exits: &Counters, wanted: Wanted, setup: Setup) -> Result<()> {
    let (kind, besides) = match wanted {
        Wanted::Kernel(file, besides) => {
            ensure!(
                exits.get(file) == REPEAT + besides,
                "{file}: {}",
                exits.words()
            );
            ("", 0)
        }
        Wanted::Some | Wanted::Interrupts => ("", 0),
        Wanted::User(kind, besides) => {
            ensure!(
                exits.get(kind) == REPEAT + besides,
                "{kind}: {}",
                exits.words()
            );
            (kind, besides)
        }
        Wanted::Collected(kind, besides) => {
            let ring = exits.get(&format!("ring-{kind}"));
            ensure!(
                exits.get(kind) + ring == REPEAT + besides,
                "{kind}: {}",
                exits.words()
            );
            judge_zone(exits, kind, setup)?;
            match setup.coalesced {
                true => ensure!(exits.get(kind) <= FULL, "not collected: {}", exits.words()),
                false => ensure!(ring == 0, "collected: {}", exits.words()),
            }
            (kind, besides)
        }
    };
    let exempt = match wanted {
        Wanted::Collected(..) => setup.coalesced,
        Wanted::Interrupts => true,
        _ => false,
    };
    if !exempt {
        ensure!(
            exits.get("exits") >= REPEAT,
            "too few exits: {}",
            exits.words()
        );
    }
    // The preparation of tests of the host bridge writes and reads its address and reads its
    // identity.
    let bridge = ["in:0xcf8", "out:0xcf8"];
    for other in USER.iter().filter(|other| **other != kind) {
        let allowed = u64::from(bridge.contains(other)).max(besides);
        ensure!(
            exits.get(other) <= allowed,
            "also {other}: {}",
            exits.words()
        );
    }
    Ok(())
}

fn check(shown: &Option<Shown>, name: &str, wanted: Wanted, setup: Setup) -> Result<()> {
    let Some(shown) = shown else {
        bail!("the payload did not run");
    };
    judge(shown.test(name)?, wanted, setup)
}

/// Runs all tests; `counted` says whether the kernel's own counts of coalesced writes must be
/// there.
pub fn run(payload: &str, counted: bool) -> ExitCode {
    let mut plan = Plan::new([None, None]);
    for coalesced in [false, true] {
        let how = if coalesced { "coalesced" } else { "plain" };
        plan = plan.case(
            format!("{how}: the payload runs"),
            move |shown: &mut [Option<Shown>; 2]| {
                let run = Shown::by_run(payload, coalesced)?;
                note(&run.output);
                shown[usize::from(coalesced)] = Some(run);
                Ok(())
            },
        );
        for (name, wanted) in TESTS {
            plan = plan.case(
                format!("{how}: {name}"),
                move |shown: &mut [Option<Shown>; 2]| {
                    let setup = Setup { coalesced, counted };
                    check(&shown[usize::from(coalesced)], name, wanted, setup)
                },
            );
        }
    }
    plan.run()
}

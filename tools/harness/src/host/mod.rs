// SPDX-License-Identifier: GPL-2.0

//! The checks that need no guest. To add one, write a line of [`CHECKS`]; how to run it is a step
//! of scripts/lib/step, whose shell function may well do no more than call a program.

pub mod count;

use crate::build::Target;
use crate::context::Context;
use crate::row::Row;
use anyhow::{ensure, Result};
use count::{count, Counts};
use std::process::{Command, Stdio};

/// A check.
#[derive(Debug)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Whether the version of the cargo that it runs is part of the name.
    pub versioned: bool,
    /// Name and arguments of the step that runs it.
    pub step: &'static [&'static str],
    /// How its tests are counted.
    pub counts: Counts,
    /// What has to be built before. It does not run if that failed, which counts by itself.
    pub needs: &'static [Target],
}

const fn check(name: &'static str, step: &'static [&'static str]) -> Check {
    Check {
        name,
        versioned: false,
        step,
        counts: Counts::Once,
        needs: &[],
    }
}

impl Check {
    const fn counts(self, counts: Counts) -> Self {
        Check { counts, ..self }
    }

    const fn needs(self, needs: &'static [Target]) -> Self {
        Check { needs, ..self }
    }

    const fn versioned(self) -> Self {
        Check {
            versioned: true,
            ..self
        }
    }
}

/// The root's cargo, and this machine's.
const CARGOS: [&str; 2] = ["cargo", "machine-cargo"];

/// All checks, in the order in which they run. Those of `machine-cargo` run if this machine has one
/// of another version than the root's.
#[rustfmt::skip]
pub const CHECKS: &[Check] = &[
    check("cargo fmt", &["cargo", "fmt", "--all", "--check"]),
    check("rustfmt of kernel code", &["rustfmt-kernel"]),
    check("rustfmt of bare-metal code", &["rustfmt-bare-metal"]),
    check("shellcheck", &["shellcheck"]),
    check("width of comments", &["comment-width"]),
    check("clippy of kernel code", &["clippy-kernel"]),
    check("kCFI types", &["kcfi"]),
    check("clippy of bare-metal code", &["clippy-bare-metal"]).needs(&[Target::Payloads]),
    check("scripts", &["scripts-test"]).needs(&[Target::Modules]).counts(Counts::Ktap),
    check("cargo clippy", &["cargo", "clippy", "--locked", "--workspace", "--all-targets",
        "--", "-D", "warnings"]).versioned(),
    check("cargo test", &["cargo", "test", "--locked", "--workspace"])
        .versioned().counts(Counts::CargoTest),
    check("AddressSanitizer", &["asan"]).counts(Counts::CargoTest),
    check("loom", &["loom"]).counts(Counts::CargoTest),
    check("cargo doc", &["cargo-doc"]),
    check("the book", &["book"]),
    check("compile-fail", &["compile-fail"])
        .needs(&[Target::Modules, Target::Programs]).counts(Counts::CargoTest),
    check("cargo clippy", &["machine-cargo", "clippy", "--locked", "--workspace", "--all-targets",
        "--", "-D", "warnings"]).versioned(),
    check("cargo test", &["machine-cargo", "test", "--locked", "--workspace"])
        .versioned().counts(Counts::CargoTest),
];

/// Versions of the cargos; none for a machine's that need not run.
struct Versions([Option<String>; 2]);

impl Versions {
    fn ask(context: &Context) -> Result<Self> {
        let version = |step: &str| -> Result<Option<String>> {
            let mut command = context.setup.step(step);
            version(command.arg("--version"))
        };
        let root = version(CARGOS[0])?;
        ensure!(root.is_some(), "the root's cargo does not say its version");
        let machine = version(CARGOS[1])?.filter(|machine| Some(machine) != root.as_ref());
        Ok(Versions([root, machine]))
    }

    /// The name of a check; none if it does not run.
    fn name(&self, check: &Check) -> Option<String> {
        if !check.versioned {
            return Some(check.name.to_owned());
        }
        let index = CARGOS.iter().position(|known| check.step[0] == *known)?;
        let version = self.0[index].as_ref()?;
        Some(format!("{} {version}", check.name))
    }
}

/// What `cargo --version` says; none if there is no cargo.
fn version(command: &mut Command) -> Result<Option<String>> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().nth(1).map(str::to_owned);
    Ok(version.filter(|_| output.status.success()))
}

/// Runs all checks whose needs are built, one after the other.
///
/// # Errors
///
/// A step cannot be run. One that fails is none.
pub fn run(context: &Context, is_built: impl Fn(Target) -> bool) -> Result<Vec<Row>> {
    let versions = Versions::ask(context)?;
    let mut rows = Vec::new();
    for check in CHECKS {
        let Some(name) = versions.name(check) else {
            continue;
        };
        if check.needs.iter().all(|target| is_built(*target)) {
            rows.push(run_check(context, &name, check)?);
        }
    }
    Ok(rows)
}

fn run_check(context: &Context, name: &str, check: &Check) -> Result<Row> {
    let mut words = check.step.iter();
    let mut command = context.setup.step(words.next().unwrap_or(&""));
    let step = context.step(name, command.args(words))?;
    count(context, name, check.counts, &step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_of_the_machine_runs_with_another_version_only() {
        let names = |machine: Option<&str>| -> Vec<String> {
            let version = |text: &str| text.to_owned();
            let versions = Versions([Some(version("1.85.1")), machine.map(version)]);
            CHECKS
                .iter()
                .filter_map(|check| versions.name(check))
                .collect()
        };
        assert!(names(None).contains(&String::from("cargo test 1.85.1")));
        assert!(names(None).contains(&String::from("cargo fmt")));
        assert!(names(Some("1.95.0")).contains(&String::from("cargo clippy 1.95.0")));
        assert_eq!(names(Some("1.95.0")).len(), CHECKS.len());
        assert_eq!(names(None).len() + 2, CHECKS.len());
    }

    #[test]
    fn every_step_is_one_of_the_shell() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/lib/step");
        let script = std::fs::read_to_string(path).unwrap();
        for check in CHECKS {
            let case = format!("\n{}) ", check.step[0]);
            assert!(script.contains(&case), "{}", check.step[0]);
        }
    }
}

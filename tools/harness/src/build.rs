// SPDX-License-Identifier: GPL-2.0

//! What is built before anything runs. The modules and cargo's programs are made in directories of
//! their own, so they are built at the same time.

use crate::context::{Context, Step};
use crate::guest::initramfs::lock_build;
use crate::jobs;
use anyhow::Result;

/// Something that is built, by the step of that name in scripts/lib/step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// The kernel modules.
    Modules,
    /// Host tools and guest programs.
    Programs,
    /// QEMU plugins.
    Plugins,
    /// The bare-metal payloads.
    Payloads,
}

/// What shares a directory, or is slow enough for one processor, is built one after the other.
const LANES: [&[Target]; 2] = [
    &[Target::Modules],
    &[Target::Programs, Target::Plugins, Target::Payloads],
];

impl Target {
    fn step(self) -> &'static str {
        match self {
            Target::Modules => "modules",
            Target::Programs => "programs",
            Target::Plugins => "plugins",
            Target::Payloads => "payloads",
        }
    }

    /// Its name in `scripts/test`, where a warning fails it.
    fn text(self) -> &'static str {
        match self {
            Target::Modules => "modules without warnings",
            Target::Programs => "programs",
            Target::Plugins => "QEMU plugins",
            Target::Payloads => "bare-metal payloads",
        }
    }
}

fn lanes(targets: &[Target]) -> Vec<Vec<Target>> {
    LANES
        .iter()
        .map(|lane| {
            lane.iter()
                .copied()
                .filter(|target| targets.contains(target))
        })
        .map(Iterator::collect)
        .collect()
}

/// Builds targets that a run cannot do without.
///
/// # Errors
///
/// One failed, and its log has been shown.
pub fn required(context: &Context, targets: &[Target]) -> Result<()> {
    let setup = &context.setup;
    let title = setup.title();
    let modules = format!("modules for {}", title.trim_start_matches("kernel "));
    let _lock = lock_build(context)?;
    let results = jobs::run(LANES.len(), &lanes(targets), |lane| {
        lane.iter().try_for_each(|target| {
            let text = match target {
                Target::Modules => &modules,
                _ => target.text(),
            };
            context.required_step(text, &mut setup.step(target.step()))
        })
    });
    results.into_iter().collect()
}

/// Builds everything, each target as a test. The results have the order of the lanes.
///
/// # Errors
///
/// A step cannot be run. One that fails is none.
pub fn all(context: &Context) -> Result<Vec<(Target, &'static str, Step)>> {
    let _lock = lock_build(context)?;
    let lanes = LANES.map(<[Target]>::to_vec);
    let results = jobs::run(lanes.len(), &lanes, |lane| {
        let build = |target: &Target| {
            let step = context.step(target.text(), &mut context.setup.step(target.step()))?;
            if !step.status.success() {
                context.terminal.say_error(&step.failure());
            }
            Ok((*target, target.text(), step))
        };
        lane.iter().map(build).collect::<Result<Vec<_>>>()
    });
    let results: Result<Vec<_>> = results.into_iter().collect();
    Ok(results?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_one_lane() {
        let all = [
            Target::Modules,
            Target::Programs,
            Target::Plugins,
            Target::Payloads,
        ];
        for target in all {
            let places = LANES.iter().flat_map(|lane| lane.iter());
            assert_eq!(places.filter(|known| **known == target).count(), 1);
        }
        assert_eq!(
            lanes(&[Target::Plugins, Target::Programs]),
            [vec![], vec![Target::Programs, Target::Plugins]]
        );
        // Steps and their names in the shell are the same thing.
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/lib/step");
        let script = std::fs::read_to_string(path).unwrap();
        let others = ["root", "initramfs", "kvm-variant", "micro-bench"];
        for step in all.iter().map(|target| target.step()).chain(others) {
            assert!(script.contains(&format!("\n{step}) ")), "{step}");
        }
    }
}

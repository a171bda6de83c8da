// SPDX-License-Identifier: GPL-2.0

//! The commands: what scripts/test, bench, vm and demo do once the shell has set up.

pub mod bench;
pub mod demo;
pub mod test;
pub mod vm;

use crate::build::{self, Target};
use crate::context::Context;
use crate::exit::Code;
use crate::scenario::File;
use crate::terminal::note;
use anyhow::Result;
use std::fs;
use std::path::Path;

/// Options that all commands share. The shell has read them before, because they decide what is set
/// up.
#[derive(Clone, Debug, clap::Args)]
pub struct Shared {
    #[arg(long, value_name = "V")]
    kernel: Option<String>,
    #[arg(
        long,
        value_name = "VARIANT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ""
    )]
    debug: Option<String>,
}

/// The help text of a command: the comment at the head of its script.
pub fn help(script: &str) -> String {
    let comment = script
        .lines()
        .skip(3)
        .take_while(|line| line.starts_with('#'));
    let lines = comment.map(|line| {
        let line = line.strip_prefix('#').unwrap_or(line);
        line.strip_prefix(' ').unwrap_or(line)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The line that its help text starts with.
pub fn usage(script: &str) -> String {
    let help = help(script);
    let line = help.lines().next().unwrap_or_default();
    line.strip_prefix("Usage: ").unwrap_or(line).to_owned()
}

/// What `--list` prints for files of scenarios.
fn list(files: &[File]) -> String {
    let line = |file: &File| format!("{:<20} {}", file.name, file.common.summary);
    files.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Lists files of scenarios, or runs them one after the other. `run` is told where the logs go, and
/// returns whether all went well; logs are kept if not.
fn run_files(
    context: &Context,
    listed: bool,
    files: &[File],
    mut run: impl FnMut(&File, &Path) -> Result<bool>,
) -> Result<Code> {
    if listed {
        context.terminal.say(&list(files));
        return Ok(Code::DONE);
    }
    build::required(
        context,
        &[Target::Modules, Target::Programs, Target::Plugins],
    )?;
    let logs = context.guest_logs()?;
    let mut failed = false;
    for file in files {
        failed |= !run(file, &logs)?;
    }
    if failed {
        context
            .terminal
            .say(&note(&format!("logs: {}", logs.display())));
        return Ok(Code::FAILED);
    }
    fs::remove_dir_all(&logs)?;
    Ok(Code::DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_the_comment_at_the_head() {
        let script =
            "#!/bin/bash\n# SPDX\n#\n# Usage: scripts/x [A]\n#\n#   --a  b\n\n# not this\n";
        assert_eq!(help(script), "Usage: scripts/x [A]\n\n  --a  b");
        assert_eq!(usage(script), "scripts/x [A]");
    }
}

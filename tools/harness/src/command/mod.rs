// SPDX-License-Identifier: GPL-2.0

//! The commands: what scripts/test, bench, vm and demo do once the shell has set up.

pub mod bench;
pub mod demo;
pub mod test;
pub mod vm;

use crate::scenario::File;

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

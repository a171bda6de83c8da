// SPDX-License-Identifier: GPL-2.0

//! Worked examples: patches that must fit the files that they change.
//!
//! Lines may have moved: what counts is that the lines a hunk shows, kept and removed ones, follow
//! each other in the file.

use crate::tree::File;
use anyhow::{bail, Context, Result};
use std::path::Path;

/// One file of a patch.
#[derive(Debug, Default)]
struct Change {
    path: String,
    is_new: bool,
    /// The lines that the file has before the patch, for each hunk.
    hunks: Vec<Vec<String>>,
}

/// Checks that `patch` applies below `root`; how many hunks it has.
///
/// # Errors
///
/// What does not fit.
pub fn check(patch: &File, root: &Path) -> Result<usize> {
    let changes = parse(patch)?;
    let mut hunks = 0;
    for change in &changes {
        if change.is_new {
            if root.join(&change.path).exists() {
                bail!("{}: {} exists already", patch.path, change.path);
            }
            hunks += change.hunks.len();
            continue;
        }
        let file = File::read(root, &change.path).context(patch.path.clone())?;
        let lines: Vec<&str> = file.text.lines().collect();
        let mut from = 0;
        for hunk in &change.hunks {
            let found = lines[from..]
                .windows(hunk.len())
                .position(|window| window == hunk);
            let Some(at) = found else {
                bail!(
                    "{}: these lines are not in {}:\n{}",
                    patch.path,
                    change.path,
                    hunk.join("\n")
                );
            };
            from += at + hunk.len();
            hunks += 1;
        }
    }
    if hunks == 0 {
        bail!("{}: nothing is changed", patch.path);
    }
    Ok(hunks)
}

fn parse(patch: &File) -> Result<Vec<Change>> {
    let mut changes: Vec<Change> = Vec::new();
    for (number, line) in patch.lines() {
        if let Some(path) = line.strip_prefix("+++ ") {
            let change = changes
                .last_mut()
                .with_context(|| format!("{}:{number}: no ---", patch.path))?;
            change.path = path.strip_prefix("b/").unwrap_or(path).trim().to_owned();
        } else if let Some(path) = line.strip_prefix("--- ") {
            changes.push(Change {
                is_new: path.trim() == "/dev/null",
                ..Change::default()
            });
        } else if let Some(change) = changes.last_mut() {
            if line.starts_with("@@") {
                change.hunks.push(Vec::new());
            } else if let Some(hunk) = change.hunks.last_mut() {
                match line.strip_prefix([' ', '-']) {
                    Some(old) => hunk.push(old.to_owned()),
                    None if line.is_empty() => hunk.push(String::new()),
                    None if line.starts_with('+') => {}
                    None => bail!("{}:{number}: not a line of a patch", patch.path),
                }
            }
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(text: &str) -> Result<usize> {
        let patch = File {
            path: "a.diff".into(),
            text: text.into(),
        };
        check(&patch, &crate::tree::root())
    }

    #[test]
    fn what_fits() {
        let text = "--- a/rustfmt.toml\n+++ b/rustfmt.toml\n@@ -2,2 +2,2 @@\n edition = \"2021\"\n-newline_style = \"Unix\"\n+newline_style = \"Native\"\n";
        assert_eq!(apply(text).expect("it fits"), 1);
        assert_eq!(
            apply("--- /dev/null\n+++ b/tests/docs/new.rs\n@@ -0,0 +1 @@\n+new\n").expect("new"),
            1
        );
    }

    #[test]
    fn what_does_not() {
        for text in [
            "--- a/rustfmt.toml\n+++ b/rustfmt.toml\n@@ -2,2 +2,2 @@\n edition = \"2024\"\n-newline_style = \"Unix\"\n",
            "--- a/rustfmt.tml\n+++ b/rustfmt.tml\n@@ -2,2 +2,2 @@\n edition = \"2021\"\n",
            "--- /dev/null\n+++ b/rustfmt.toml\n@@ -0,0 +1 @@\n+new\n",
            "nothing\n",
        ] {
            assert!(apply(text).is_err(), "{text}");
        }
    }
}

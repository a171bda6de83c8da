// SPDX-License-Identifier: GPL-2.0

//! Scenario files: what one guest looks like, what runs in it, and when. Test suites, benchmarks
//! and demonstrations share the format, which Documentation/harness.rst describes: `key = value`
//! lines, `#` comments, and `[name]` sections, each of which is a variant that adds to what stands
//! before the first one.

mod key;
mod parse;
pub mod select;

pub use parse::{parse, ParseError};

use crate::figures::Aim;
use crate::guest::Guest;
use anyhow::{ensure, Context, Result};
use regex_lite::Regex;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Name of a scenario: that of the file and, if it has sections, that of a section.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Name {
    /// The file's, without its ending.
    pub file: String,
    /// The section's.
    pub variant: Option<String>,
}

impl Name {
    /// For a directory of logs. A colon would split the list of directories that the root shows.
    pub fn directory(&self) -> String {
        self.to_string().replace(':', ".")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.variant {
            Some(variant) => write!(f, "{}:{variant}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// What a benchmark's figures depend on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Clock {
    /// One virtual nanosecond per instruction: figures repeat exactly.
    Icount,
    /// The machine's own.
    Wall,
}

impl FromStr for Clock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "icount" => Ok(Clock::Icount),
            "wall" => Ok(Clock::Wall),
            _ => Err(format!("{text:?} is neither icount nor wall")),
        }
    }
}

/// When a scenario does not run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tags {
    /// Runs for minutes: only with `--soak` or by its full name.
    pub soak: bool,
    /// Not with the debug kernel.
    pub no_debug: bool,
}

impl FromStr for Tags {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut tags = Tags::default();
        for word in text.split_whitespace() {
            match word {
                "soak" => tags.soak = true,
                "no-debug" => tags.no_debug = true,
                _ => return Err(format!("unknown tag {word:?}; there are soak and no-debug")),
            }
        }
        Ok(tags)
    }
}

impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.soak, "soak"), (self.no_debug, "no-debug")];
        let words: Vec<_> = words.iter().filter(|(set, _)| *set).collect();
        let words: Vec<_> = words.iter().map(|(_, word)| *word).collect();
        f.write_str(&words.join(" "))
    }
}

/// One guest of a file, with all that its section and the lines above the first section say.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: Name,
    /// One line for `--list`.
    pub summary: String,
    /// When it does not run.
    pub tags: Tags,
    /// The kernels it is for; all if empty.
    pub kernels: Vec<String>,
    /// Reports on the console that are no failures.
    pub allow: Vec<Regex>,
    /// Ratios that a benchmark aims at.
    pub aims: Vec<Aim>,
    /// Variants that one guest of a benchmark measures in turn.
    pub columns: Vec<String>,
    /// The clock of a benchmark.
    pub clock: Clock,
    /// Programs of the root without which it is skipped.
    pub optional: Vec<String>,
    /// The guest.
    pub guest: Guest,
}

impl Scenario {
    fn new(name: Name) -> Self {
        Scenario {
            name,
            summary: String::new(),
            tags: Tags::default(),
            kernels: Vec::new(),
            allow: Vec::new(),
            aims: Vec::new(),
            columns: Vec::new(),
            clock: Clock::Icount,
            optional: Vec::new(),
            guest: Guest::default(),
        }
    }

    /// Why it does not run on a kernel although it is well-formed.
    pub fn obstacle(&self, kernel: &str, debug: bool) -> Option<String> {
        if !self.kernels.is_empty() && !self.kernels.iter().any(|known| known == kernel) {
            return Some(format!("not for kernel {kernel}"));
        }
        (debug && self.tags.no_debug).then(|| String::from("not for the debug kernel"))
    }
}

/// A file.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name without the ending.
    pub name: String,
    /// What its lines above the first section say.
    pub common: Scenario,
    /// Its variants in their order; one without a name if it has no section.
    pub scenarios: Vec<Scenario>,
}

/// Reads one file.
///
/// # Errors
///
/// Names file and line of what is malformed.
pub fn load(path: &Path) -> Result<File> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(parse(path, &text)?)
}

/// Reads all files of a folder with an ending, in the order of their names.
///
/// # Errors
///
/// Those of [`load`], and if there is none.
pub fn load_folder(folder: &Path, ending: &str) -> Result<Vec<File>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|found| found == ending));
    paths.sort();
    ensure!(
        !paths.is_empty(),
        "{} has no file *.{ending}",
        folder.display()
    );
    paths.iter().map(|path| load(path)).collect()
}

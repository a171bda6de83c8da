// SPDX-License-Identifier: GPL-2.0

//! The text of a scenario file.

use super::key::{Key, KEYS};
use super::{File, Name, Scenario};
use std::fmt;
use std::path::{Path, PathBuf};

/// What is wrong with a file, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParseError {
    /// The file.
    pub path: PathBuf,
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.message)
    }
}

impl std::error::Error for ParseError {}

/// A line of a section.
struct Entry<'a> {
    line: usize,
    key: &'static Key,
    value: &'a str,
}

/// The lines that follow `[NAME]`.
struct Section<'a> {
    line: usize,
    name: &'a str,
    entries: Vec<Entry<'a>>,
}

/// Reads the text of the file `path`.
///
/// # Errors
///
/// The first line that is malformed.
pub fn parse(path: &Path, text: &str) -> Result<File, ParseError> {
    let at = |line, message| ParseError {
        path: path.to_owned(),
        line,
        message,
    };
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut common = Vec::new();
    let mut sections: Vec<Section<'_>> = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let line = index + 1;
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if let Some(rest) = text.strip_prefix('[') {
            let name = section_name(rest).map_err(|message| at(line, message))?;
            if let Some(other) = sections.iter().find(|section| section.name == name) {
                let message = format!("[{name}] stands on line {} as well", other.line);
                return Err(at(line, message));
            }
            sections.push(Section {
                line,
                name,
                entries: Vec::new(),
            });
            continue;
        }
        let entries = sections
            .last_mut()
            .map_or(&mut common, |section| &mut section.entries);
        let entry = entry(line, text, entries).map_err(|message| at(line, message))?;
        entries.push(entry);
    }

    let build = |variant: Option<&str>, entries: &[Entry<'_>]| {
        let mut scenario = Scenario::new(Name {
            file: name.to_string(),
            variant: variant.map(str::to_owned),
        });
        for entry in common.iter().chain(entries) {
            (entry.key.set)(&mut scenario, entry.value)
                .map_err(|message| at(entry.line, format!("{}: {message}", entry.key.name)))?;
        }
        Ok(scenario)
    };
    let mut scenarios = Vec::new();
    for section in &sections {
        scenarios.push((section.line, build(Some(section.name), &section.entries)?));
    }
    if sections.is_empty() {
        scenarios.push((text.lines().count().max(1), build(None, &[])?));
    }
    for (line, scenario) in &scenarios {
        if scenario.guest.commands.is_empty() {
            let message = format!("{} has no command", scenario.name);
            return Err(at(*line, message));
        }
    }
    Ok(File {
        name: name.to_string(),
        common: build(None, &[])?,
        scenarios: scenarios
            .into_iter()
            .map(|(_, scenario)| scenario)
            .collect(),
    })
}

/// What stands between the brackets; `rest` follows the first one.
fn section_name(rest: &str) -> Result<&str, String> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    rest.strip_suffix(']')
        .filter(|name| is_name(name))
        .ok_or_else(|| format!("not '[NAME]' with a name of letters, digits, '-' and '_': [{rest}"))
}

fn entry<'a>(line: usize, text: &'a str, before: &[Entry<'_>]) -> Result<Entry<'a>, String> {
    let split = text
        .split_once('=')
        .map(|(key, value)| (key.trim_end_matches(' '), value.trim_start_matches(' ')));
    let (name, value) = split
        .filter(|(key, _)| is_key(key))
        .ok_or_else(|| format!("not 'key = value': {text}"))?;
    let key = KEYS.iter().find(|key| key.name == name);
    let key = key.ok_or_else(|| unknown(name))?;
    if value.is_empty() {
        return Err(format!("'{name}' has no value"));
    }
    if let Some(other) = before
        .iter()
        .find(|other| key.once && other.key.name == name)
    {
        return Err(format!(
            "'{name}' stands on line {} as well; only one counts",
            other.line
        ));
    }
    Ok(Entry { line, key, value })
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

fn unknown(name: &str) -> String {
    let near = KEYS
        .iter()
        .map(|key| (strsim::osa_distance(name, key.name), key.name))
        .filter(|(distance, _)| *distance <= 2)
        .min();
    match near {
        Some((_, near)) => format!("unknown key '{name}'; did you mean '{near}'?"),
        None => format!("unknown key '{name}'"),
    }
}

// SPDX-License-Identifier: GPL-2.0

//! What every part of a run needs: where things are, the user's terminal, the children, and steps
//! with a log.

use crate::exit::{Code, Shown};
use crate::process::Processes;
use crate::setup::Setup;
use crate::terminal::{step_line, Terminal};
use anyhow::{Context as _, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A run of one of the commands.
pub struct Context {
    /// What the shell has set up.
    pub setup: Setup,
    /// The user's terminal.
    pub terminal: Terminal,
    /// The children.
    pub processes: Processes,
    /// Where the steps' logs are. It is there when a step has run.
    step_logs: PathBuf,
    steps: AtomicUsize,
    /// `test-DATE-PID` is the name of this run's step logs.
    command: &'static str,
    stamp: String,
}

/// A step that has ended.
pub struct Step {
    /// Its exit status.
    pub status: ExitStatus,
    /// How long it took.
    pub time: Duration,
    /// What it printed.
    pub log: PathBuf,
}

impl Context {
    /// For a command's run.
    pub fn new(command: &'static str, setup: Setup) -> Self {
        let stamp = format!("{}-{}", date(SystemTime::now()), std::process::id());
        Context {
            step_logs: setup.cache.join(format!("logs/{command}-{stamp}")),
            steps: AtomicUsize::new(0),
            setup,
            terminal: Terminal::new(),
            processes: Processes::default(),
            command,
            stamp,
        }
    }

    /// Makes the directory of the guests' logs: `logs/COMMAND-guests-DATE-PID` in the cache.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn guest_logs(&self) -> Result<PathBuf> {
        let name = format!("logs/{}-guests-{}", self.command, self.stamp);
        make_dir(&self.setup.cache.join(name))
    }

    /// The directory of the only guest's logs: `logs/COMMAND-DATE-PID` in the cache.
    pub fn run_logs(&self) -> PathBuf {
        self.step_logs.clone()
    }

    /// Runs a command with its output in a log, and prints its line.
    ///
    /// # Errors
    ///
    /// It cannot be run. A failed step is none.
    pub fn step(&self, text: &str, command: &mut Command) -> Result<Step> {
        std::fs::create_dir_all(&self.step_logs)
            .with_context(|| self.step_logs.display().to_string())?;
        let number = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        let log = self
            .step_logs
            .join(format!("{number:02}-{}.log", tag(text)));
        let output = File::create(&log).with_context(|| log.display().to_string())?;
        let start = Instant::now();
        let shown = self.terminal.running(text, Some(&log));
        let status = self.processes.status(
            command
                .stdin(Stdio::null())
                .stdout(output.try_clone()?)
                .stderr(output),
        )?;
        drop(shown);
        let time = start.elapsed();
        let failed = if status.success() { "" } else { "FAILED: " };
        self.terminal
            .say(&step_line(time, &format!("{failed}{text}")));
        Ok(Step { status, time, log })
    }

    /// A step without which nothing else makes sense.
    ///
    /// # Errors
    ///
    /// It failed, and its log has been shown.
    pub fn required_step(&self, text: &str, command: &mut Command) -> Result<()> {
        let step = self.step(text, command)?;
        if step.status.success() {
            return Ok(());
        }
        self.terminal.say_error(&step.failure());
        Err(Shown(Code::of_step(step.status)).into())
    }

    /// Removes the steps' logs after a run in which all went well.
    pub fn remove_step_logs(&self) {
        // They are only in the way if it cannot.
        let _ = std::fs::remove_dir_all(&self.step_logs);
    }
}

impl Step {
    /// The end of its log, and where that is.
    pub fn failure(&self) -> String {
        let log = read_lossy(&self.log).unwrap_or_default();
        format!(
            "---- last lines of the log ----\n{}\n---- full log: {}",
            last_lines(&log, 20),
            self.log.display()
        )
    }
}

/// Makes a directory and returns its real path.
///
/// # Errors
///
/// It cannot be made.
pub fn make_dir(path: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(path)
        .and_then(|()| path.canonicalize())
        .with_context(|| path.display().to_string())
}

/// A file's text. What is not UTF-8 in it is replaced.
///
/// # Errors
///
/// It cannot be read.
pub fn read_lossy(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last lines of a text.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// A step's text as part of a file name.
fn tag(text: &str) -> String {
    let mut tag = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') {
            tag.push(c);
        } else if !tag.ends_with('-') {
            tag.push('-');
        }
    }
    tag.truncate(40);
    tag.trim_end_matches('-').to_owned()
}

/// `YYYYMMDD-HHMMSS`, UTC.
fn date(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (days, rest) = (seconds / 86400, seconds % 86400);
    // Howard Hinnant's civil_from_days, for dates after 1970.
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}{month:02}{day:02}-{:02}{:02}{:02}",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "19700101-000000");
        assert_eq!(at(951_782_399), "20000228-235959");
        assert_eq!(at(951_782_400), "20000229-000000");
        assert_eq!(at(951_868_800), "20000301-000000");
        assert_eq!(at(1_795_867_117), "20261128-115837");
    }

    #[test]
    fn names_of_logs() {
        assert_eq!(
            tag("modules for 7.3.4+deb13 (debug)"),
            "modules-for-7.3.4-deb13-debug"
        );
        assert_eq!(tag(&"x".repeat(50)).len(), 40);
    }

    #[test]
    fn ends_of_logs() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a\n", 2), "a");
        assert_eq!(last_lines("", 2), "");
    }
}

// SPDX-License-Identifier: GPL-2.0

//! What the user sees: whole lines, never mixed, and what goes on meanwhile. On a terminal that is
//! a line which is drawn anew, elsewhere a line every half minute, for the log of a CI to stay
//! alive.

use std::fmt::Write as _;
use std::io::{IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the line on a terminal is drawn.
const REDRAW: Duration = Duration::from_millis(500);

/// After which time without a line there is one elsewhere.
const SILENCE: Duration = Duration::from_secs(30);

/// Something that runs.
struct Running {
    id: u64,
    text: String,
    log: Option<PathBuf>,
    start: Instant,
}

struct State {
    running: Vec<Running>,
    next: u64,
    last_line: Instant,
    turn: usize,
    silent: bool,
    closed: bool,
}

/// Standard output and error.
pub struct Terminal {
    state: Mutex<State>,
    changed: Condvar,
    /// Columns, if the output is a terminal that people look at.
    width: Option<usize>,
}

/// `  [SSS s] TEXT`.
pub fn step_line(time: Duration, text: &str) -> String {
    format!("  [{:3} s] {text}", time.as_secs())
}

/// A remark below a step's line.
pub fn note(text: &str) -> String {
    format!("           {text}")
}

impl Terminal {
    /// For the process's own output.
    pub fn new() -> Self {
        let looked_at = std::io::stdout().is_terminal()
            && std::env::var_os("CI").is_none_or(|ci| ci.is_empty())
            && std::env::var("TERM").is_ok_and(|term| term != "dumb");
        Terminal {
            state: Mutex::new(State {
                running: Vec::new(),
                next: 0,
                last_line: Instant::now(),
                turn: 0,
                silent: false,
                closed: false,
            }),
            changed: Condvar::new(),
            width: looked_at.then(columns),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints a text of one or more lines, with nothing of another thread in between.
    pub fn say(&self, text: &str) {
        self.write(&mut std::io::stdout(), text);
    }

    /// The same on standard error.
    pub fn say_error(&self, text: &str) {
        self.write(&mut std::io::stderr(), text);
    }

    fn write(&self, output: &mut dyn Write, text: &str) {
        let mut state = self.state();
        if state.silent {
            return;
        }
        self.erase();
        // An output that is closed has no reader to lose anything.
        let _ = writeln!(output, "{text}").and_then(|()| output.flush());
        state.last_line = Instant::now();
    }

    /// Something that runs until the result is dropped; `log` is a file to which it writes.
    pub fn running(&self, text: &str, log: Option<&Path>) -> Shown<'_> {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.running.push(Running {
            id,
            text: text.to_owned(),
            log: log.map(Path::to_owned),
            start: Instant::now(),
        });
        Shown { terminal: self, id }
    }

    /// No output any more, for a run that is being interrupted.
    pub fn silence(&self) {
        let mut state = self.state();
        state.silent = true;
        self.erase();
    }

    fn erase(&self) {
        if self.width.is_some() {
            let _ = std::io::stdout().write_all(b"\r\x1b[K");
        }
    }

    /// Shows what runs, until [`Terminal::close`].
    pub fn show(&self) {
        let pause = if self.width.is_some() {
            REDRAW
        } else {
            SILENCE / 10
        };
        let mut state = self.state();
        while !state.closed {
            state = self
                .changed
                .wait_timeout(state, pause)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if state.silent || state.closed {
                continue;
            }
            let state = &mut *state;
            let Some(first) = state.running.first() else {
                continue;
            };
            let texts: Vec<_> = state.running.iter().map(|one| one.text.as_str()).collect();
            let texts = texts.join(", ");
            if let Some(width) = self.width {
                let seconds = first.start.elapsed().as_secs();
                let last = state.running.last().and_then(|one| one.log.as_deref());
                let last = last.map(last_line).unwrap_or_default();
                let line = status_line(seconds, state.turn, &texts, &last, width);
                state.turn += 1;
                let mut stdout = std::io::stdout().lock();
                let _ = write!(stdout, "\r\x1b[K{line}").and_then(|()| stdout.flush());
            } else if state.last_line.elapsed() >= SILENCE && first.start.elapsed() >= SILENCE {
                let line = step_line(first.start.elapsed(), &format!("... {texts}"));
                let mut stdout = std::io::stdout().lock();
                let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
                state.last_line = Instant::now();
            }
        }
        self.erase();
    }

    /// Ends [`Terminal::show`].
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Terminal::new()
    }
}

/// Something that runs as long as this lives.
pub struct Shown<'a> {
    terminal: &'a Terminal,
    id: u64,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        let mut state = self.terminal.state();
        state.running.retain(|one| one.id != self.id);
        if state.running.is_empty() {
            self.terminal.erase();
        }
    }
}

fn status_line(seconds: u64, turn: usize, texts: &str, last: &str, width: usize) -> String {
    let frame = ['|', '/', '-', '+'][turn % 4];
    let mut line = format!("  [{seconds:3} s] {frame} {texts}");
    if !last.is_empty() {
        let _ = write!(line, "  {last}");
    }
    line.chars().take(width.saturating_sub(1)).collect()
}

/// The last line of a log that says something.
fn last_line(log: &Path) -> String {
    let tail = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(400)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        Ok(tail)
    };
    let tail = tail().unwrap_or_default();
    let tail = String::from_utf8_lossy(&tail);
    let line = tail
        .split(['\n', '\r'])
        .rfind(|line| !line.trim().is_empty());
    let line = line.unwrap_or_default().chars();
    line.filter(|c| !c.is_control()).collect()
}

/// The terminal's width.
fn columns() -> usize {
    const DEFAULT: usize = 80;
    let output = Command::new("stty")
        .args(["-F", "/dev/tty", "size"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let Ok(output) = output else { return DEFAULT };
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .nth(1)
        .and_then(|columns| columns.parse().ok())
        .filter(|columns| *columns >= 20)
        .unwrap_or(DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_steps() {
        assert_eq!(step_line(Duration::from_millis(7900), "a"), "  [  7 s] a");
        assert_eq!(step_line(Duration::from_secs(1234), "a"), "  [1234 s] a");
    }

    #[test]
    fn the_status_fits_the_terminal() {
        assert_eq!(
            status_line(3, 1, "modules", "CC a.o", 80),
            "  [  3 s] / modules  CC a.o"
        );
        assert_eq!(status_line(3, 0, "modules", "CC a.o", 15), "  [  3 s] | mo");
        assert_eq!(status_line(3, 0, "a", "", 80), "  [  3 s] | a");
    }

    #[test]
    fn the_newest_line_of_a_log() {
        let path = std::env::temp_dir().join(format!("siov-last-line-{}", std::process::id()));
        std::fs::write(&path, "first\nCompiling a\rCompiling b\x1b\n\n  \n").unwrap();
        assert_eq!(last_line(&path), "Compiling b");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(last_line(&path), "");
    }
}

// SPDX-License-Identifier: GPL-2.0

//! What the commands of a guest print, shown as it comes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(100);

/// Reads a log that grows, line by line.
struct Follower {
    path: PathBuf,
    at: u64,
    open: Vec<u8>,
}

impl Follower {
    fn new(path: &Path) -> Self {
        Follower {
            path: path.to_owned(),
            at: 0,
            open: Vec::new(),
        }
    }

    /// The lines that have been completed since the last call.
    fn lines(&mut self) -> std::io::Result<Vec<String>> {
        let mut file = File::open(&self.path)?;
        if file.metadata()?.len() < self.at {
            // The guest was booted again.
            self.at = 0;
            self.open.clear();
        }
        file.seek(SeekFrom::Start(self.at))?;
        self.at += u64::try_from(file.read_to_end(&mut self.open)?).unwrap_or(0);
        let complete = self.open.iter().rposition(|byte| *byte == b'\n');
        let rest = self.open.split_off(complete.map_or(0, |at| at + 1));
        let lines = std::mem::replace(&mut self.open, rest);
        let lines = String::from_utf8_lossy(&lines);
        Ok(shown(&lines))
    }

    /// What is left behind the last complete line.
    fn rest(&mut self) -> Vec<String> {
        shown(&String::from_utf8_lossy(&std::mem::take(&mut self.open)))
    }
}

/// Without the lines that are for the judge.
fn shown(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.starts_with("siov-guest: ") && !line.starts_with("# expect-fault "))
        .map(str::to_owned)
        .collect()
}

/// Set when it is dropped.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Shows the lines of a log that come while `work` runs.
pub fn following<R>(path: &Path, show: impl Fn(&str) + Send, work: impl FnOnce() -> R) -> R {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| follow(path, &done, show));
        let _done = Done(&done);
        work()
    })
}

fn follow(path: &Path, done: &AtomicBool, show: impl Fn(&str)) {
    let mut follower = Follower::new(path);
    loop {
        let last = done.load(Ordering::Acquire);
        // Between two boots it may be missing.
        for line in follower.lines().unwrap_or_default() {
            show(&line);
        }
        if last {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    for line in follower.rest() {
        show(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_come_when_they_are_complete() {
        let path = std::env::temp_dir().join(format!("siov-follow-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        let mut follower = Follower::new(&path);
        assert_eq!(follower.lines().unwrap(), Vec::<String>::new());
        file.write_all(b"siov-guest: run plain x\none\ntw").unwrap();
        assert_eq!(follower.lines().unwrap(), ["one"]);
        file.write_all(b"o\n# expect-fault 1\n\nthree").unwrap();
        assert_eq!(follower.lines().unwrap(), ["two", ""]);
        assert_eq!(follower.lines().unwrap(), Vec::<String>::new());
        assert_eq!(follower.rest(), ["three"]);
        File::create(&path).unwrap().write_all(b"new\n").unwrap();
        assert_eq!(follower.lines().unwrap(), ["new"]);
        std::fs::remove_file(&path).unwrap();
        assert!(follower.lines().is_err());
    }

    #[test]
    fn all_is_shown_in_the_end() {
        let path = std::env::temp_dir().join(format!("siov-follow-end-{}", std::process::id()));
        let seen = std::sync::Mutex::new(Vec::new());
        let show = |line: &str| seen.lock().unwrap().push(line.to_owned());
        let result = following(&path, show, || {
            std::fs::write(&path, "a\nb").unwrap();
            7
        });
        assert_eq!(result, 7);
        assert_eq!(seen.into_inner().unwrap(), ["a", "b"]);
        std::fs::remove_file(&path).unwrap();
    }
}

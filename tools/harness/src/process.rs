// SPDX-License-Identifier: GPL-2.0

//! Children: each is the leader of a process group of its own, which ends with its time limit or
//! with an interrupted run as a whole.

use anyhow::{bail, Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{killpg, Signal};
use nix::sys::wait::{waitid, Id, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a process that was asked to end may take.
const GRACE: Duration = Duration::from_secs(5);

/// How often a process with a time limit is looked at.
const POLL: Duration = Duration::from_millis(20);

/// How a child ended.
#[derive(Clone, Copy, Debug)]
pub enum Ended {
    /// By itself.
    Exited(ExitStatus),
    /// The time limit ended it.
    TimedOut,
}

#[derive(Debug, Default)]
struct State {
    groups: BTreeSet<i32>,
    stopped: bool,
}

/// The children that run.
#[derive(Debug, Default)]
pub struct Processes(Mutex<State>);

impl Processes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a command to its end, or for `limit`; then its group is asked to end, and made to after
    /// a grace period.
    ///
    /// # Errors
    ///
    /// It cannot be started, or the run has been interrupted.
    pub fn run(&self, command: &mut Command, limit: Option<Duration>) -> Result<Ended> {
        command.process_group(0);
        let (mut child, group) = {
            // Under the lock, so that no child is missed by `kill_all`.
            let mut state = self.state();
            if state.stopped {
                bail!("interrupted");
            }
            let child = command
                .spawn()
                .with_context(|| format!("cannot run {:?}", command.get_program()))?;
            let group = Pid::from_raw(i32::try_from(child.id())?);
            state.groups.insert(group.as_raw());
            (child, group)
        };
        let in_time = match limit {
            None => wait(group, None)?,
            Some(limit) => {
                let in_time = wait(group, Some(limit))?;
                if !in_time {
                    signal(group, Signal::SIGTERM);
                    if !wait(group, Some(GRACE))? {
                        signal(group, Signal::SIGKILL);
                        wait(group, None)?;
                    }
                }
                in_time
            }
        };
        // It is still a zombie: as long as its number is in the set, no other process has that
        // number.
        self.state().groups.remove(&group.as_raw());
        let status = child.wait()?;
        if in_time {
            Ok(Ended::Exited(status))
        } else {
            Ok(Ended::TimedOut)
        }
    }

    /// The same without a limit, as an exit status.
    ///
    /// # Errors
    ///
    /// Those of [`Processes::run`].
    pub fn status(&self, command: &mut Command) -> Result<ExitStatus> {
        match self.run(command, None)? {
            Ended::Exited(status) => Ok(status),
            Ended::TimedOut => bail!("a process without a time limit ran out of time"),
        }
    }

    /// Runs a command that a person uses, in this process's own group, which the terminal's keys
    /// reach.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn run_in_foreground(&self, command: &mut Command) -> Result<ExitStatus> {
        command
            .status()
            .with_context(|| format!("cannot run {:?}", command.get_program()))
    }

    /// Whether the run has been interrupted.
    pub fn are_stopped(&self) -> bool {
        self.state().stopped
    }

    /// Ends everything that runs, and lets nothing more be started.
    pub fn kill_all(&self) {
        let mut state = self.state();
        state.stopped = true;
        for group in &state.groups {
            signal(Pid::from_raw(*group), Signal::SIGKILL);
        }
    }
}

/// A group may be gone already.
fn signal(group: Pid, signal: Signal) {
    let _ = killpg(group, signal);
}

/// Waits for a child's end without reaping it. Returns whether it has ended.
fn wait(child: Pid, limit: Option<Duration>) -> Result<bool> {
    let start = Instant::now();
    let mut flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    if limit.is_some() {
        flags |= WaitPidFlag::WNOHANG;
    }
    loop {
        match waitid(Id::Pid(child), flags) {
            Ok(WaitStatus::StillAlive) => {}
            Ok(_) => return Ok(true),
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error).context("cannot wait for a process"),
        }
        if limit.is_some_and(|limit| start.elapsed() >= limit) {
            return Ok(false);
        }
        std::thread::sleep(POLL);
    }
}

/// The signals that interrupt a run.
const INTERRUPTS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Catches the signals that interrupt a run. Those that were ignored when the program started, as
/// by nohup, stay so. A handler catches them: a signal that is blocked here would be blocked in all
/// children.
///
/// # Errors
///
/// They cannot be caught.
pub fn interrupts() -> Result<Interrupts> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored_signals(&status);
    let caught = INTERRUPTS
        .iter()
        .map(|signal| *signal as i32)
        .filter(|signal| ignored & (1 << (signal - 1)) == 0);
    let signals = signal_hook::iterator::Signals::new(caught);
    Ok(Interrupts(signals.context("signals cannot be caught")?))
}

/// The signals that interrupt a run.
#[derive(Debug)]
pub struct Interrupts(signal_hook::iterator::Signals);

impl Interrupts {
    /// Waits for the first one.
    pub fn wait(&mut self) -> Option<Signal> {
        let signal = self.0.forever().next()?;
        Signal::try_from(signal).ok()
    }
}

/// The set of ignored signals in /proc/PID/status.
fn ignored_signals(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        command
    }

    #[test]
    fn exit_codes() {
        let processes = Processes::default();
        let code = |line| processes.status(&mut shell(line)).unwrap().code();
        assert_eq!(code("exit 0"), Some(0));
        assert_eq!(code("exit 7"), Some(7));
        assert_eq!(code("kill -9 $$"), None);
        assert!(processes
            .status(&mut Command::new("/no/such/program"))
            .unwrap_err()
            .to_string()
            .contains("cannot run"));
        assert!(processes.state().groups.is_empty());
    }

    #[test]
    fn a_limit_ends_the_whole_group() {
        let processes = Processes::default();
        let file = std::env::temp_dir().join(format!("siov-group-{}", std::process::id()));
        let line = format!("sleep 60 & echo $! >{}; sleep 60", file.display());
        let ended = processes.run(&mut shell(&line), Some(Duration::from_millis(500)));
        assert!(matches!(ended, Ok(Ended::TimedOut)), "{ended:?}");
        let inner: i32 = std::fs::read_to_string(&file)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        std::fs::remove_file(&file).unwrap();
        let state = || std::fs::read_to_string(format!("/proc/{inner}/stat")).unwrap_or_default();
        let start = Instant::now();
        while !(state().is_empty() || state().contains(") Z ")) {
            assert!(start.elapsed() < Duration::from_secs(10), "{}", state());
            std::thread::sleep(POLL);
        }
    }

    #[test]
    fn a_process_that_will_not_end_is_killed() {
        let processes = Processes::default();
        let mut command = shell("trap '' TERM; while :; do sleep 1; done");
        let ended = processes.run(&mut command, Some(Duration::from_millis(100)));
        assert!(matches!(ended, Ok(Ended::TimedOut)), "{ended:?}");
    }

    #[test]
    fn nothing_starts_after_an_interrupt() {
        let processes = Processes::default();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| processes.status(&mut shell("sleep 60")));
            while processes.state().groups.is_empty() {
                std::thread::sleep(POLL);
            }
            processes.kill_all();
            assert_eq!(sleeper.join().unwrap().unwrap().code(), None);
        });
        assert!(processes.status(&mut shell("exit 0")).is_err());
    }

    #[test]
    fn ignored_signals_are_read() {
        let status = "Name:\tx\nSigBlk:\t0000000000000003\nSigIgn:\t0000000000001001\n";
        assert_eq!(ignored_signals(status), 0x1001);
        assert_eq!(ignored_signals(""), 0);
    }
}

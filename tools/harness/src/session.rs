// SPDX-License-Identifier: GPL-2.0

//! The output port of a guest: which commands ran, what each printed, and how each ended.
//!
//! `scripts/guest/init` writes the lines that start with `siov-guest: `.

use crate::console;

/// One command of the guest.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Run {
    /// The command line.
    pub command: String,
    /// Whether its output has to be KTAP; of other commands only the exit status counts.
    pub ktap: bool,
    /// What it printed.
    pub output: String,
    /// Exit status as the shell reports it; none if it never returned.
    pub status: Option<i32>,
}

/// All that a guest said on its output port.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Session {
    /// The commands in their order.
    pub runs: Vec<Run>,
    /// Modules that could not be loaded before the first command, with modprobe's words.
    pub failed_modules: Vec<String>,
    /// Kernel messages of level `KERN_ERR` or worse, without time stamps.
    pub errors: Vec<String>,
    /// Status of the first command that failed, 0 if none did; none if the guest did not get that
    /// far.
    pub done: Option<i32>,
}

const MARK: &str = "siov-guest: ";

/// Reads the output port's log. Bytes that are not UTF-8 have been replaced by the caller.
pub fn parse(log: &str) -> Session {
    let mut session = Session::default();
    let mut before = String::new();
    for line in log.lines() {
        // A program may leave its last line open, so the mark can stand anywhere in a line.
        let (text, mark) = match line.find(MARK) {
            Some(at) => (&line[..at], Some(&line[at + MARK.len()..])),
            None => (line, None),
        };
        if mark.is_none() || !text.is_empty() {
            let output = session
                .runs
                .last_mut()
                .filter(|run| run.status.is_none())
                .map_or(&mut before, |run| &mut run.output);
            output.push_str(text);
            output.push('\n');
        }
        let Some(mark) = mark else { continue };
        if let Some(message) = mark.strip_prefix("error ") {
            session.errors.push(console::message(message).to_owned());
            continue;
        }
        let mut words = mark.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("run"), Some(kind), Some(command)) => session.runs.push(Run {
                command: command.to_owned(),
                ktap: kind == "ktap",
                ..Run::default()
            }),
            (Some("exit"), Some(status), _) => {
                if let Some(run) = session.runs.last_mut() {
                    run.status = status.parse().ok();
                }
            }
            (Some("done"), Some(status), _) => session.done = status.parse().ok(),
            (Some("module"), Some(name), Some(_)) => session
                .failed_modules
                .push(format!("{name}: {}", before.trim())),
            _ => {}
        }
    }
    session
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_order() {
        let session = parse(
            "siov-guest: run plain mkdir /d\nsiov-guest: exit 0\nsiov-guest: run ktap vtd_load --fast\n1..1\nok 1 a\n\
             siov-guest: exit 3\nsiov-guest: done 3\n",
        );
        assert_eq!(session.done, Some(3));
        assert_eq!(session.runs.len(), 2);
        assert!(!session.runs[0].ktap);
        assert_eq!(session.runs[0].output, "");
        assert_eq!(session.runs[1].command, "vtd_load --fast");
        assert_eq!(session.runs[1].output, "1..1\nok 1 a\n");
        assert_eq!(session.runs[1].status, Some(3));
    }

    #[test]
    fn cut_off_in_a_command() {
        let session = parse("siov-guest: run ktap hang\n1..2\nok 1 a\n");
        assert_eq!(session.done, None);
        assert_eq!(session.runs[0].status, None);
        assert_eq!(session.runs[0].output, "1..2\nok 1 a\n");
    }

    #[test]
    fn a_mark_after_an_open_line() {
        let session =
            parse("siov-guest: run plain printf x\nxsiov-guest: exit 0\nsiov-guest: done 0\n");
        assert_eq!(session.runs[0].output, "x\n");
        assert_eq!(session.runs[0].status, Some(0));
    }

    #[test]
    fn error_messages_without_their_stamps() {
        let session = parse(
            "siov-guest: error [   12.345678] vtd: dmar0: no domain id left\nsiov-guest: done 0\n",
        );
        assert_eq!(session.errors, ["vtd: dmar0: no domain id left"]);
        assert_eq!(session.done, Some(0));
    }

    #[test]
    fn module_that_does_not_load() {
        let session = parse("modprobe: can't load module vtd: No such device\nsiov-guest: module vtd failed\nsiov-guest: done 125\n");
        assert_eq!(
            session.failed_modules,
            ["vtd: modprobe: can't load module vtd: No such device"]
        );
        assert_eq!(session.done, Some(125));
    }
}

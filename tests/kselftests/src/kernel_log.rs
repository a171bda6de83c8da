// SPDX-License-Identifier: GPL-2.0

//! The kernel's log, from a point in time on.

use crate::ktap::Result;
use crate::poll;
use anyhow::Context;
use nix::errno::Errno;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// A reader of /dev/kmsg (the kernel's `Documentation/ABI/testing/dev-kmsg`).
#[derive(Debug)]
pub struct KernelLog {
    file: File,
    lines: Vec<String>,
}

impl KernelLog {
    /// What the kernel says from now on.
    ///
    /// # Errors
    ///
    /// Those of opening /dev/kmsg.
    pub fn from_now() -> Result<Self> {
        let mut log = Self::from_start()?;
        log.file.seek(SeekFrom::End(0))?;
        Ok(log)
    }

    /// All that the kernel still has.
    ///
    /// # Errors
    ///
    /// Those of opening /dev/kmsg.
    pub fn from_start() -> Result<Self> {
        let mut options = File::options();
        options.read(true).custom_flags(libc::O_NONBLOCK);
        Ok(Self {
            file: options.open("/dev/kmsg").context("/dev/kmsg")?,
            lines: Vec::new(),
        })
    }

    /// The messages until now, without the numbers before them.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn lines(&mut self) -> Result<&[String]> {
        // The longest record that the kernel hands out.
        let mut buffer = [0; 8192];
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => {
                    let record = String::from_utf8_lossy(&buffer[..len]);
                    // Lines after the first are the record's properties.
                    let first = record.lines().next().unwrap_or("");
                    let message = first.split_once(';').map_or("", |(_, text)| text);
                    self.lines.push(message.to_owned());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // Records that were overwritten before we came.
                Err(error) if error.raw_os_error() == Some(Errno::EPIPE as i32) => {}
                Err(error) => return Err(error).context("/dev/kmsg"),
            }
        }
        Ok(&self.lines)
    }

    /// Waits for a message that has all of `words`, and returns it.
    ///
    /// # Errors
    ///
    /// When it does not come; it quotes what came.
    pub fn wait_for(&mut self, words: &[&str]) -> Result<String> {
        let found = poll::until(&format!("a message with {words:?}"), || {
            let lines = self.lines()?;
            Ok(lines
                .iter()
                .find(|line| words.iter().all(|word| line.contains(word)))
                .cloned())
        });
        found.with_context(|| format!("the kernel said:\n{}", self.lines.join("\n")))
    }

    /// How many messages have all of `words`.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn count(&mut self, words: &[&str]) -> Result<usize> {
        let lines = self.lines()?;
        Ok(lines
            .iter()
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .count())
    }
}

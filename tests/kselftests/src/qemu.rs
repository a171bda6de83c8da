// SPDX-License-Identifier: GPL-2.0

//! The shipped QEMU inside the guest (`program = qemu-system-x86_64` of a suite).

use crate::ktap::Result;
use crate::poll;
use anyhow::Context;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A running QEMU, ended when dropped.
#[derive(Debug)]
pub struct Qemu {
    child: Child,
    said: PathBuf,
    errors: PathBuf,
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Qemu {
    /// Starts it with these arguments and no devices of its own choice. The arguments make its
    /// guest's words go to the file `said`, next to which are QEMU's own.
    ///
    /// # Errors
    ///
    /// Those of files and processes.
    pub fn start<T: AsRef<str>>(arguments: &[T], said: &Path) -> Result<Self> {
        let errors = said.with_extension("errors");
        fs::write(said, [])?;
        let child = Command::new("qemu-system-x86_64")
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(arguments.iter().map(AsRef::as_ref))
            .stdin(Stdio::null())
            .stderr(File::create(&errors)?)
            .spawn()
            .context("qemu-system-x86_64")?;
        Ok(Self {
            child,
            said: said.to_owned(),
            errors,
        })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What its guest has said so far.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn said(&self) -> Result<Vec<u8>> {
        fs::read(&self.said).context("what the guest says")
    }

    /// What it has said itself so far.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn errors(&self) -> Result<String> {
        fs::read_to_string(&self.errors).context("what QEMU says")
    }

    /// Waits until its guest, or QEMU itself, has said something.
    ///
    /// # Errors
    ///
    /// When it ends before, or when nothing comes.
    pub fn wait_until(&mut self, what: &str, mut has: impl FnMut(&Self) -> Result<bool>) -> Result {
        poll::until_within(3 * poll::patience(), what, || {
            if has(self)? {
                return Ok(Some(()));
            }
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("QEMU has ended: {status}: {}", self.errors()?);
            }
            Ok(None)
        })
        .with_context(|| self.words())
    }

    /// Waits until it ends.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.wait_within(3 * poll::patience())
    }

    /// [`Self::wait`] with a bound of its own.
    ///
    /// # Errors
    ///
    /// When it does not end by then.
    pub fn wait_within(&mut self, bound: Duration) -> Result<ExitStatus> {
        let child = &mut self.child;
        poll::until_within(bound, "QEMU ends", || Ok(child.try_wait()?))
            .with_context(|| self.words())
    }

    /// All that was said, for a message.
    fn words(&self) -> String {
        let said = self.said().unwrap_or_default();
        let errors = self.errors().unwrap_or_default();
        format!("{}{errors}", String::from_utf8_lossy(&said))
    }
}

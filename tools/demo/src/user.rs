// SPDX-License-Identifier: GPL-2.0

//! The processes that have a mediated device each: what one does, and how the demonstration talks
//! to it.
//!
//! The process answers each line on its input with one on its output.

use anyhow::{ensure, Context, Result};
use siov_kselftests::adi::{signals, EventFd};
use siov_kselftests::adi_parent::{page, User, PAGES};
use siov_kselftests::mdev::Mdev;
use siov_kselftests::siov_testdev::regs::fault_region::flags;
use siov_kselftests::siov_testdev::regs::CompletionStatus;
use siov_kselftests::siov_testdev::{copy, fill};
use siov_kselftests::{poll, PAGE};
use std::io::{stdin, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A page behind what is mapped.
pub const STRAY: usize = PAGES + 4;

/// What the process is asked for.
pub const COPY: &str = "copy";
/// See [`COPY`].
pub const GO_ASTRAY: &str = "go astray";
/// See [`COPY`].
pub const LOOK: &str = "look";

/// The process itself: opens the device, puts `text` into its memory, and does what it is asked
/// for.
pub fn run(uuid: &str, text: &str) -> Result<()> {
    let user = User::new(&Mdev::named(uuid))?;
    let error = user.adi.listen_for_faults()?;
    user.memory.write(0, text.as_bytes());
    for line in stdin().lines() {
        let answer = match line?.as_str() {
            COPY => copy_page(&user, text),
            GO_ASTRAY => go_astray(&user, &error),
            LOOK => look(&user, &error, text),
            other => anyhow::bail!("unknown request {other:?}"),
        };
        println!("{}", answer?);
    }
    Ok(())
}

fn text_in(user: &User, index: usize) -> String {
    let bytes = user.memory.read(index * PAGE, 64);
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

fn copy_page(user: &User, text: &str) -> Result<String> {
    user.adi.succeed(&copy(page(0), page(1), PAGE))?;
    let found = text_in(user, 1);
    ensure!(found == text, "copied {found:?}, not its own data");
    Ok(format!(
        "its ADI copied {:#x} to {:#x}: \"{found}\"",
        page(0),
        page(1)
    ))
}

/// Writes where nothing is mapped, and hears of it.
fn go_astray(user: &User, error: &EventFd) -> Result<String> {
    let completion = user.adi.execute(&fill(page(STRAY) + 8, 64, !0))?;
    ensure!(
        completion.status == CompletionStatus::Fault,
        "{completion:x?}"
    );
    poll::until_true(
        "the error eventfd is signalled",
        || Ok(signals(error)? != 0),
    )?;
    let record = poll::until("both have told of the fault", || {
        let records = user.adi.faults()?;
        Ok(records
            .into_iter()
            .find(|record| record.flags & flags::IOMMU != 0 && record.flags & flags::DEVICE != 0))
    })?;
    let what = match record.flags & flags::WRITE {
        0 => "read of",
        _ => "write to",
    };
    Ok(format!(
        "error eventfd, and record {}: {what} {:#x} with PASID {} blocked; the IOMMU's reason is {:#04x}",
        record.number, record.address, record.pasid, record.iommu_reason
    ))
}

fn look(user: &User, error: &EventFd, text: &str) -> Result<String> {
    let (told, records) = (signals(error)?, user.adi.faults()?.len());
    for index in 0..2 {
        let found = text_in(user, index);
        ensure!(found == text, "its memory has changed to {found:?}");
    }
    let heard = match (told, records) {
        (0, 0) => "heard of no fault",
        (_, 0) => "was signalled without a fault",
        _ => "has the record of its fault",
    };
    Ok(format!("{heard}; its memory is unchanged"))
}

/// A process that runs [`run`], ended when dropped.
pub struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    pub fn start(mdev: &Mdev, text: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["user", mdev.uuid(), text])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self {
            input: child.stdin.take().context("no input")?,
            output: BufReader::new(child.stdout.take().context("no output")?),
            child,
        })
    }

    /// Asks for something, and prints the answer.
    pub fn ask(&mut self, what: &str) -> Result<String> {
        writeln!(self.input, "{what}")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        let answer = answer.trim_end().to_owned();
        println!("   process {}: {answer}", self.child.id());
        ensure!(!answer.is_empty(), "the process has no answer to {what:?}");
        Ok(answer)
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

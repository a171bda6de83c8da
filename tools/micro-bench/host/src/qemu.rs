// SPDX-License-Identifier: GPL-2.0

//! One run of the payload in QEMU.

use anyhow::{bail, Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Instruction set of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// arm64.
    Aarch64,
    /// x86.
    X86_64,
}

impl Arch {
    /// By its name.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "aarch64" => Some(Self::Aarch64),
            "x86_64" => Some(Self::X86_64),
            _ => None,
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Aarch64 => "qemu-system-aarch64",
            Self::X86_64 => "qemu-system-x86_64",
        }
    }

    fn payload(self) -> &'static str {
        match self {
            Self::Aarch64 => "micro-bench-aarch64.flat",
            Self::X86_64 => "micro-bench-x86_64.elf",
        }
    }

    /// `-machine`, unless another is asked for.
    pub fn default_machine(self) -> &'static str {
        match self {
            Self::Aarch64 => "virt,gic-version=3",
            Self::X86_64 => "q35",
        }
    }
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Instruction set.
    pub arch: Arch,
    /// Directory of the payloads.
    pub payloads: PathBuf,
    /// `-machine`.
    pub machine: String,
    /// `-cpu`.
    pub cpu: String,
    /// `-accel`.
    pub accel: String,
    /// Processors.
    pub smp: u32,
    /// Whether one nanosecond is one instruction, as on no real machine.
    pub icount: bool,
    /// Whether x86 has QEMU's exit device.
    pub exit_device: bool,
    /// Arguments of the payload.
    pub append: String,
    /// Further arguments of QEMU.
    pub qemu: Vec<String>,
    /// Seconds after which it is ended.
    pub timeout: u32,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// All that was printed, lines ending in a line feed.
    pub output: String,
    /// What QEMU itself said.
    pub errors: String,
    /// The payload's exit status.
    pub status: u8,
}

impl Run {
    /// The payload of `arch` with two processors on the default machine.
    pub fn new(arch: Arch, payloads: &Path) -> Self {
        Self {
            arch,
            payloads: payloads.to_owned(),
            machine: arch.default_machine().to_owned(),
            cpu: "max".to_owned(),
            accel: "tcg".to_owned(),
            smp: 2,
            icount: false,
            exit_device: true,
            append: String::new(),
            qemu: Vec::new(),
            timeout: 600,
        }
    }

    /// The command, which `timeout(1)` bounds.
    pub fn command(&self) -> Command {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", &self.timeout.to_string(), self.arch.program()]);
        command.args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ]);
        command.args([
            "-machine",
            &self.machine,
            "-cpu",
            &self.cpu,
            "-accel",
            &self.accel,
        ]);
        command.args([
            "-smp",
            &self.smp.to_string(),
            "-m",
            "128",
            "-serial",
            "stdio",
        ]);
        if self.icount {
            command.args(["-icount", "shift=0,sleep=off"]);
        }
        if self.arch == Arch::X86_64 && self.exit_device {
            command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"]);
        }
        command
            .arg("-kernel")
            .arg(self.payloads.join(self.arch.payload()));
        command.args(["-append", &self.append]);
        command.args(&self.qemu);
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end. An error if the payload did not come to its end.
    pub fn execute(&self) -> Result<Ended> {
        let out = self.command().output().context("cannot start QEMU")?;
        let output = String::from_utf8_lossy(&out.stdout).replace('\r', "");
        let errors = String::from_utf8_lossy(&out.stderr).into_owned();
        if out.status.code() == Some(124) {
            bail!(
                "not done after {} s; output so far:\n{output}{errors}",
                self.timeout
            );
        }
        let Some(status) = exit_status(&output) else {
            bail!(
                "QEMU ended with {}, the payload did not:\n{output}{errors}",
                out.status
            );
        };
        Ok(Ended {
            output,
            errors,
            status,
        })
    }
}

/// The status that the payload printed last, as kvm-unit-tests' scripts read it.
pub fn exit_status(output: &str) -> Option<u8> {
    let number: u32 = output
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("EXIT: STATUS="))?
        .parse()
        .ok()?;
    u8::try_from(number >> 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        assert_eq!(exit_status("x\n\nEXIT: STATUS=1\n"), Some(0));
        assert_eq!(exit_status("EXIT: STATUS=155\n"), Some(77));
        assert_eq!(exit_status("EXIT: STATUS=\n"), None);
        assert_eq!(exit_status("hyp_call 12\n"), None);
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Stock QEMU as the user of a mediated device: `-device vfio-pci,sysfsdev=`, with a guest that
//! drives the ADI (`tools/adi-guest`).
//!
//! Argument: QEMU's accelerator, `tcg` or `kvm`.

use anyhow::{ensure, Context as _};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use siov_kselftests::adi_parent::{AdiParent, Owned, ADI, MEDIATED};
use siov_kselftests::kernel_module::modprobe;
use siov_kselftests::ktap::{self, expect_faults, note, Plan, Result};
use siov_kselftests::qemu::Qemu;
use std::path::PathBuf;
use std::process::ExitCode;

const PAYLOAD: &str = "/siov/adi-guest.elf";

/// What isa-debug-exit makes of the status 0.
const WELL: i32 = 1;

fn main() -> ExitCode {
    ktap::run(Context::new, |context| {
        Plan::new(context)
            .case("an ADI", |c: &mut Context| alone(c, ADI))
            .case("an ADI in software", |c: &mut Context| alone(c, MEDIATED))
            .case("two guests at once, one ADI each", two)
            .case("QEMU is killed while its guest works", killed)
            .case("a fault of which the guest hears nothing", unheard)
            .run()
    })
}

struct Context {
    parent: AdiParent,
    accelerator: String,
}

impl Context {
    fn new() -> Result<Self> {
        modprobe("vfio_iommu_type1", "")?;
        Ok(Self {
            parent: AdiParent::new()?,
            accelerator: std::env::args().nth(1).context("no accelerator")?,
        })
    }

    /// QEMU with `device` and these words for its guest.
    fn start(&self, device: &Owned, words: &str) -> Result<Qemu> {
        let said = PathBuf::from(format!("/tmp/{}", device.0.uuid()));
        let processor = match self.accelerator.as_str() {
            "kvm" => "host",
            _ => "max",
        };
        let function = format!("vfio-pci,sysfsdev={}", device.0.path().display());
        let serial = format!("file:{}", said.display());
        #[rustfmt::skip]
        let arguments = [
            "-no-reboot", "-m", "64", "-M", "q35", "-accel", &self.accelerator, "-cpu", processor,
            "-kernel", PAYLOAD, "-append", words, "-serial", &serial,
            "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-device", &function,
        ];
        Qemu::start(&arguments, &said)
    }
}

fn lines(qemu: &Qemu) -> Result<Vec<String>> {
    let said = qemu.said()?;
    Ok(String::from_utf8_lossy(&said)
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect())
}

/// Waits until the guest has made all of its checks, which must have passed.
fn passes(qemu: &mut Qemu) -> Result {
    let status = qemu.wait()?;
    let lines = lines(qemu)?;
    for line in &lines {
        note(line);
    }
    let errors = qemu.errors()?;
    let (last, checks) = lines
        .split_last()
        .with_context(|| format!("the guest says nothing: {errors}"))?;
    ensure!(
        last == "END" && !checks.is_empty() && checks.iter().all(|line| line.starts_with("PASS ")),
        "{lines:?} {errors}"
    );
    ensure!(status.code() == Some(WELL), "{status}: {errors}");
    Ok(())
}

fn alone(c: &mut Context, ty: &str) -> Result {
    expect_faults(4);
    let device = c.parent.create_as(ty)?;
    passes(&mut c.start(&device, "")?)
}

/// Their memories have the same addresses.
fn two(c: &mut Context) -> Result {
    expect_faults(8);
    let devices = [c.parent.create()?, c.parent.create()?];
    let mut both = devices
        .iter()
        .map(|device| c.start(device, ""))
        .collect::<Result<Vec<_>>>()?;
    both.iter_mut().try_for_each(passes)
}

fn killed(c: &mut Context) -> Result {
    let device = c.parent.create()?;
    let mut qemu = c.start(&device, "busy")?;
    qemu.wait_until("the guest works", |qemu| {
        Ok(lines(qemu)?.contains(&"BUSY".to_owned()))
    })?;
    kill(Pid::from_raw(qemu.id().try_into()?), Signal::SIGKILL)?;
    qemu.wait()?;
    expect_faults(4);
    passes(&mut c.start(&device, "")?)
}

/// QEMU stops a guest that does not take the vector for faults.
fn unheard(c: &mut Context) -> Result {
    expect_faults(4);
    let device = c.parent.create()?;
    let mut qemu = c.start(&device, "unheard")?;
    qemu.wait_until("QEMU stops the guest", |qemu| {
        Ok(qemu.errors()?.contains("Unrecoverable error detected"))
    })?;
    drop(qemu);
    passes(&mut c.start(&device, "")?)
}

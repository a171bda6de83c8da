// SPDX-License-Identifier: GPL-2.0

//! Reboot by kexec: other processors and timers still map, unmap and invalidate when the units are
//! switched off, and the next kernel finds them in a state that vtd can take over.
//!
//! The first kernel packs its own root file system as the next one's, and boots the image that it
//! was booted from. What is printed is printed by the second.

use anyhow::{bail, ensure, Context as _};
use nix::errno::Errno;
use siov_kselftests::kernel_log::KernelLog;
use siov_kselftests::ktap::{self, Plan, Result};
use siov_kselftests::mmio::Mapping;
use siov_kselftests::pci::{Function, EDU, NVME};
use siov_kselftests::traffic::disk;
use siov_kselftests::vfio::{Access, Container};
use siov_kselftests::{faults, poll, sysfs, PAGE};
use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Says to the second kernel that it is the second.
const SECOND: &str = "siov.second=1";
const IMAGE: &str = "/siov/vmlinuz";
const ARCHIVE: &str = "/tmp/root.cpio";
const IOVA: u64 = 1 << 30;
const PAGES: usize = 64;

/// Rounds of each kind of load before the reboot, which all go on meanwhile.
const ROUNDS: u64 = 50;

/// The root file system, without what is mounted on it and what only the first kernel prints.
fn pack() -> Result {
    let init = fs::read_to_string("/init").context("/init")?;
    let kept: Vec<&str> = init
        .lines()
        .filter(|line| !line.contains("siov-guest: run"))
        .collect();
    ensure!(
        kept.len() + 1 == init.lines().count(),
        "/init announces commands in another way"
    );
    fs::write("/init", kept.join("\n")).context("/init")?;
    let script =
        format!("cd / && find . -xdev ! -path ./siov/vmlinuz | cpio -o -H newc >{ARCHIVE}");
    let output = Command::new("sh").args(["-c", &script]).output()?;
    ensure!(
        output.status.success(),
        "cpio: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn load() -> Result {
    let (image, archive) = (File::open(IMAGE)?, File::open(ARCHIVE)?);
    let line = format!("{} {SECOND}", sysfs::read("/proc/cmdline")?);
    let line = CString::new(line)?;
    // SAFETY: Two files, and a C string of this length, which the call copies.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            image.as_raw_fd(),
            archive.as_raw_fd(),
            line.as_bytes_with_nul().len(),
            line.as_ptr(),
            0_usize,
        )
    };
    Errno::result(ret).context("kexec_file_load")?;
    fs::remove_file(ARCHIVE)?;
    Ok(())
}

/// Maps and unmaps, for ever.
fn churn(rounds: &AtomicU64) -> Result {
    let mut container = Container::new()?;
    let device = container.add(&Function::first(EDU)?)?;
    device.set_bus_master(true)?;
    let memory = Mapping::memory(PAGES * PAGE)?;
    loop {
        container.map(IOVA, &memory, 0, PAGES * PAGE, Access::ReadWrite)?;
        container.unmap(IOVA, PAGES * PAGE)?;
        rounds.fetch_add(1, Ordering::Relaxed);
    }
}

/// Boots the next kernel with load on all processors; does not return.
fn boot_next() -> Result {
    pack()?;
    load()?;
    let disk = disk::block_device(&Function::first(NVME)?)?;
    let rounds: &'static [AtomicU64; 2] = Box::leak(Box::default());
    std::thread::spawn(move || churn(&rounds[0]));
    std::thread::spawn(move || -> Result {
        for seed in 0.. {
            disk::exercise(&disk, 1, Duration::ZERO, seed)?;
            rounds[1].fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    poll::until_true("both kinds of load run", || {
        Ok(rounds.iter().all(|n| n.load(Ordering::Relaxed) >= ROUNDS))
    })?;
    nix::sys::reboot::reboot(nix::sys::reboot::RebootMode::RB_KEXEC).context("reboot")?;
    bail!("the next kernel was not booted")
}

fn setup() -> Result<PathBuf> {
    if !sysfs::read("/proc/cmdline")?.contains(SECOND) {
        boot_next()?;
    }
    disk::block_device(&Function::first(NVME)?)
}

fn taken_over(_: &mut PathBuf) -> Result {
    let mut log = KernelLog::from_start()?;
    log.wait_for(&["vtd", "queued invalidation left on by the previous kernel"])?;
    for unit in faults::units()? {
        let text = sysfs::read(format!("{unit}/registers"))?;
        for word in ["TES", "QIES"] {
            ensure!(text.contains(word), "{unit}/registers lacks {word}");
        }
    }
    Ok(())
}

#[expect(clippy::ptr_arg, reason = "the context of the plan")]
fn traffic(disk: &mut PathBuf) -> Result {
    disk::exercise(disk, 1, Duration::ZERO, 1)?;
    let kind = Function::first(NVME)?.domain_type()?;
    ensure!(kind == "DMA-FQ", "the disk's domain has type {kind}");
    let mut container = Container::new()?;
    let _device = container.add(&Function::first(EDU)?)?;
    let memory = Mapping::memory(PAGES * PAGE)?;
    container.map(IOVA, &memory, 0, PAGES * PAGE, Access::ReadWrite)?;
    container.unmap(IOVA, PAGES * PAGE)?;
    let blocked = faults::counter("faults")?;
    ensure!(blocked == 0, "{blocked} requests were blocked");
    Ok(())
}

fn main() -> ExitCode {
    ktap::run(setup, |disk| {
        Plan::new(disk)
            .case("the next kernel's vtd takes over the unit", taken_over)
            .case("its devices work", traffic)
            .run()
    })
}

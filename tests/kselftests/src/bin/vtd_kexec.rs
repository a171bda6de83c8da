// SPDX-License-Identifier: GPL-2.0

//! Reboot by kexec: other processors and timers still map, unmap and invalidate when the units are
//! switched off, and the next kernel finds them in a state that vtd can take over. And a crash
//! kernel, for which nothing is switched off: it has the stock driver, which lets DMA that is under
//! way go on by the tables of the kernel before.
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
/// For the kernel before.
const FIRST_ONLY: &str = "crashkernel=768M";
const VTD: &str = "intel_iommu=off intremap=off";
/// For the kernel that is booted after a crash.
const STOCK: &str = "intel_iommu=on,sm_on nr_cpus=1";

fn is_crash() -> bool {
    std::env::args().any(|word| word == "--crash")
}
const IMAGE: &str = "/siov/vmlinuz";
/// `include/uapi/linux/kexec.h`
const KEXEC_FILE_ON_CRASH: usize = 2;
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
    if is_crash() {
        fs::write("/siov/modules", "nvme\n").context("/siov/modules")?;
    }
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
    let mut line = format!("{} {SECOND}", sysfs::read("/proc/cmdline")?).replace(FIRST_ONLY, "");
    let mut flags = 0;
    if is_crash() {
        line = line.replace(VTD, STOCK);
        ensure!(line.contains(STOCK), "no {VTD} on the command line");
        flags |= KEXEC_FILE_ON_CRASH;
    }
    let line = CString::new(line)?;
    // SAFETY: Two files, and a C string of this length, which the call copies.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            image.as_raw_fd(),
            archive.as_raw_fd(),
            line.as_bytes_with_nul().len(),
            line.as_ptr(),
            flags,
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
    if is_crash() {
        fs::write("/proc/sysrq-trigger", "c").context("sysrq")?;
    }
    nix::sys::reboot::reboot(nix::sys::reboot::RebootMode::RB_KEXEC).context("reboot")?;
    bail!("the next kernel was not booted")
}

struct Context {
    disk: PathBuf,
}

fn setup() -> Result<Context> {
    if !sysfs::read("/proc/cmdline")?.contains(SECOND) {
        boot_next()?;
    }
    Ok(Context {
        disk: disk::block_device(&Function::first(NVME)?)?,
    })
}

fn taken_over(_: &mut Context) -> Result {
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

fn traffic(c: &mut Context) -> Result {
    disk::exercise(&c.disk, 1, Duration::ZERO, 1)?;
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

fn copied(c: &mut Context) -> Result {
    let mut log = KernelLog::from_start()?;
    log.wait_for(&["DMAR", "Translation already enabled - trying to copy"])?;
    log.wait_for(&["DMAR", "Copied translation tables from previous kernel"])?;
    let bad = log.count(&["DMAR", "[DMA "])?;
    ensure!(bad == 0, "{bad} requests were blocked");
    disk::exercise(&c.disk, 1, Duration::ZERO, 1).map(drop)
}

fn main() -> ExitCode {
    if is_crash() {
        return ktap::run(setup, |context| {
            Plan::new(context)
                .case("the crash kernel takes over the tables", copied)
                .run()
        });
    }
    ktap::run(setup, |context| {
        Plan::new(context)
            .case("the next kernel's vtd takes over the unit", taken_over)
            .case("its devices work", traffic)
            .run()
    })
}
